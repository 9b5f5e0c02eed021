//! For `cargo xtask package`: writes the package of [`fhir::package`] into the folder named on the command line.

use std::path::PathBuf;

fn main() -> Result<(), String> {
    let folder = std::env::args().nth(1).ok_or("package FOLDER")?;
    let folder = PathBuf::from(folder);
    let told = |path: &PathBuf, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(&folder).map_err(|e| told(&folder, e))?;
    for (name, content) in fhir::package::it17() {
        let place = folder.join(name);
        let text = serde_json::to_string_pretty(&content).map_err(|e| e.to_string())?;
        std::fs::write(&place, text + "\n").map_err(|e| told(&place, e))?;
        println!("{}", place.display());
    }
    Ok(())
}
