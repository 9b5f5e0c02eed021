// Bundles the portal's one script and one stylesheet into dist/, with names that never change: the server embeds
// them and answers with `no-cache` and an ETag, so that no hash has to be carried into the templates.
import { build } from "esbuild";
import { mkdir, rm } from "node:fs/promises";

await rm("dist", { recursive: true, force: true });
await mkdir("dist", { recursive: true });
await build({
  entryPoints: [
    { in: "src/portal.ts", out: "portal" },
    { in: "src/portal.css", out: "portal" },
  ],
  outdir: "dist",
  bundle: true,
  minify: true,
  sourcemap: false,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  assetNames: "[name]",
  loader: { ".woff2": "file", ".svg": "file" },
  legalComments: "linked",
  logLevel: "info",
});
