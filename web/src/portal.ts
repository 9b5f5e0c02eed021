// Entry of the portal's one script. It adds to pages that are whole without it: curves, and buttons that choose the
// range of curves and tables together.
import { drawCurve, type Curve } from "./chart";
import { readData } from "./data";
import { rangeButtons } from "./range";

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
