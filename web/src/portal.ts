// Entry of the portal's one script. It adds to pages that are whole without it: curves, buttons that choose the range of curves and
// tables together, and a list of patients that keeps itself up to date.
import { drawCurve, type Curve } from "./chart";
import { readData } from "./data";
import { keepList } from "./list";
import { rangeButtons } from "./range";

keepList();

const data = readData();
if (data) {
  document.documentElement.dataset["script"] = "on";
  const curves: Curve[] = [];
  for (const series of data.series) {
    const host = document.getElementById(`curve-${series.id}`);
    if (host) curves.push(drawCurve(host, series, data));
  }
  rangeButtons(data, curves);
}
