// The range buttons: 7 days, 30 days, 1 year, 3 years. They move all curves and the rows of all tables together, and
// say in words how many readings are shown.
import type { Curve } from "./chart";
import type { ChartData, Millis } from "./data";

const DAY: Millis = 86_400_000;

export function rangeButtons(data: ChartData, curves: Curve[]): void {
  const group = document.getElementById("range");
  if (!group) return;
  const buttons = [...group.querySelectorAll<HTMLButtonElement>("button[data-days]")];
  const rows = [...document.querySelectorAll<HTMLTableRowElement>("tr[data-t]")];

  const choose = (button: HTMLButtonElement): void => {
    const days = Number(button.dataset["days"]);
    const end = data.now + days * DAY * 0.015;
    const start = data.now - days * DAY;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    for (const curve of curves) curve.show(start, end);
    for (const row of rows) {
      // A gap's row spans time: it is shown when any part of it is in range.
      row.hidden = Number(row.dataset["end"] ?? row.dataset["t"]) < start;
    }
    for (const count of document.querySelectorAll<HTMLElement>("[data-count-of]")) {
      const own = rows.filter((row) => row.dataset["of"] === count.dataset["countOf"]);
      const shown = own.filter((row) => !row.hidden).length;
      count.textContent =
        shown === 0
          ? data.text.none
          : data.text.shown.replace("{shown}", String(shown)).replace("{all}", String(own.length));
    }
  };

  for (const button of buttons) button.addEventListener("click", () => choose(button));
  group.hidden = false;
  const first = buttons.find((button) => button.getAttribute("aria-pressed") === "true") ?? buttons[0];
  if (first) choose(first);
}
