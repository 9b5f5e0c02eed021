// The portal in Debian's Chromium, against a running demo:
//
//   node test/portal.spec.mjs URL [--screenshot FILE] [--folder DIR]
//
// Picks the first physician, opens the story's patient with one organisation chosen from the catalogue, and checks what
// a clinician needs to find: curves of at least three organisations, the plan's bands, the medication lists, the
// receipt. Every page is run through axe-core, the range buttons are worked by keyboard, and the console must be
// silent. `--screenshot` writes the patient page; `--folder` every page, for looking. Exit code 1 if anything failed.
// Chromium: the environment's CHROMIUM, else /usr/bin/chromium.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { screenshot: { type: "string" }, folder: { type: "string" } },
});
const url = positionals[0];
if (!url) {
  console.error("usage: node test/portal.spec.mjs URL [--screenshot FILE] [--folder DIR]");
  process.exit(2);
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const faults = [];
let checks = 0;

function check(holds, what) {
  checks += 1;
  if (!holds) faults.push(what);
  console.log(`${holds ? "ok  " : "FAIL"} ${what}`);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

async function watched(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  return page;
}

async function accessible(page, name) {
  // Through the debugger, so that the page's own policy stays as strict as it is.
  await page.evaluate(`${axe}; undefined`);
  const result = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    }),
  );
  for (const violation of result.violations) {
    console.log(`     axe ${violation.impact} ${violation.id}: ${violation.help}`);
    for (const node of violation.nodes.slice(0, 4)) console.log(`       ${node.target.join(" ")}: ${node.failureSummary}`);
  }
  check(result.passes.length > 0 && result.violations.length === 0, `axe-core finds nothing on the ${name}`);
}

async function picture(page, name) {
  if (!options.folder) return;
  await mkdir(options.folder, { recursive: true });
  await page.screenshot({ path: join(options.folder, `${name}.png`), fullPage: true });
}

try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "nb-NO" });
  const page = await watched(context);
  await page.goto(url);
  check((await page.textContent("h1"))?.trim() === "Velg person", "the start offers people to choose");
  check(await page.getByText("Syntetiske data").first().isVisible(), "the page says that all data is synthetic");
  await accessible(page, "start");
  await picture(page, "1-start");

  await page.locator("button.person").first().click();
  await page.waitForURL("**/patients");
  const cookies = await context.cookies();
  check(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", "one cookie, HttpOnly and SameSite=Strict");
  await accessible(page, "list of patients");
  const offered = page.locator('input[name="organization"]');
  check((await offered.count()) >= 3, "the catalogue offers organisations to choose");
  const fjord = page.locator(".options label", { hasText: "Fjordregionen" }).locator("input");
  if ((await fjord.count()) === 1) await fjord.check();
  await picture(page, "2-patients");
  await page.getByRole("button", { name: "Åpne pasient" }).click();
  await page.waitForURL("**/views/*");
  await page.waitForSelector("#curve-spo2 canvas");
  await page.evaluate(() => document.fonts.ready);

  const number = (await page.locator(".patient .number").first().textContent())?.replace(/\s/g, "") ?? "";
  check(/^\d{11}$/.test(number), "the banner shows the patient's number");
  check(!page.url().includes(number) && !(await page.title()).includes(number), "the number is in no address and no title");
  check((await page.locator(".curve canvas").count()) === 5, "five curves are drawn");
  const drawn = await page.evaluate(() =>
    [...document.querySelectorAll(".curve canvas")].map((canvas) => {
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
      return colours.size;
    }),
  );
  check(drawn.every((colours) => colours > 20), `each curve has ink (${drawn.join(", ")} colours)`);
  const data = JSON.parse((await page.textContent("#chart-data")) ?? "{}");
  check(data.sources?.length >= 3, `at least three sources are named (${data.sources?.join(", ")})`);
  for (const source of data.sources ?? []) {
    check(await page.locator(".section-head .source", { hasText: source }).isVisible(), `the legend names ${source}`);
  }
  const bands = data.series?.find((series) => series.id === "spo2")?.bands ?? [];
  check(["green", "yellow", "red"].every((zone) => bands.some((band) => band.zone === zone)), "the plan's limits are bands");
  check((await page.locator("#medicines table").count()) >= 2, "medication lists of two organisations stand side by side");
  check(await page.locator("#medicines", { hasText: "H02AB06" }).first().isVisible(), "prednisolone is on a list");
  check((await page.locator("#plan table tbody tr").count()) >= 3, "the plan's limits stand in words");
  check(/\d+ av \d+ kilder svarte/.test((await page.textContent("#receipt h2")) ?? ""), "the receipt says who answered");

  const visibleRows = () => page.locator('tr[data-of="spo2"]:not([hidden])').count();
  const month = await visibleRows();
  if (options.screenshot) {
    await mkdir(dirname(options.screenshot), { recursive: true });
    await page.screenshot({ path: options.screenshot, fullPage: false });
  }
  await picture(page, "3-patient-30-days");
  await accessible(page, "patient page");

  const pressed = page.locator('#range button[aria-pressed="true"]');
  await pressed.focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  check((await pressed.textContent()) === "3 år", "Tab and Enter choose three years");
  const years = await visibleRows();
  check(years > month, `the table follows the range (${month} rows, then ${years})`);
  check(years === data.series.find((series) => series.id === "spo2").readings.length, "the table has what the curve has");
  await picture(page, "4-patient-3-years");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Space");
  check((await pressed.textContent()) === "7 d", "Space chooses seven days");
  check((await visibleRows()) < month, "seven days show fewer");
  await picture(page, "5-patient-7-days");
  await page.locator(".series .scroll").first().focus();
  check(await page.evaluate(() => document.activeElement?.classList.contains("scroll")), "a table can be reached by keyboard");

  await page.setViewportSize({ width: 390, height: 844 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, "a phone needs no sideways scrolling");
  await picture(page, "6-patient-phone");
  await page.setViewportSize({ width: 1440, height: 1000 });

  await page.getByRole("link", { name: "Tilgjengelighetserklæring" }).click();
  await page.waitForURL("**/accessibility");
  await accessible(page, "accessibility statement");
  await page.getByRole("button", { name: "Logg ut" }).click();
  await page.waitForURL((address) => address.pathname === "/");
  check((await context.cookies()).every((cookie) => cookie.name === "delt-language"), "signing out takes the cookie away");
  await page.goto(new URL("/patients", url).href);
  check(new URL(page.url()).pathname === "/", "signed out, the list of patients leads to the start");
  check((await page.goto(new URL("/ingen/slik/side", url).href))?.status() === 404, "an unknown address is a page that says so");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("status of 404")));
  await accessible(page, "page for unknown addresses");
  await context.close();

  // The nurse's list of patients: what a row says, by keyboard to the alert, and rows that move around the one in use.
  const ward = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "nb-NO" });
  const list = await watched(ward);
  await list.goto(url);
  await list.locator("button.person", { hasText: "Mari Syntetisk" }).click();
  await list.waitForURL("**/patients");
  await list.getByRole("link", { name: "Mine pasienter i dag" }).click();
  await list.waitForURL("**/list");
  const top = list.locator("#rows > tr").first();
  check((await top.textContent())?.includes("Ragnhild Testmo") ?? false, "the list has the story's patient on top");
  check(await top.locator(".zone.red").isVisible(), "she is red");
  check(await list.getByText("Ikke CE-merket").first().isVisible(), "the list says that the assessment is not CE-marked");
  await accessible(list, "list of the organisation's own patients");
  await picture(list, "13-list");
  await list.setViewportSize({ width: 390, height: 844 });
  const past = await list.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(past <= 0, "a phone scrolls the list's table, not the page");
  await list.setViewportSize({ width: 1440, height: 1000 });
  await list.locator("#rows a").first().focus();
  await list.route("**/list/rows?*", async (route) => {
    const answer = await route.fetch({ url: new URL("/list/rows?known=other", url).href });
    const rows = (await answer.text()).replaceAll("Ragnhild Testmo", "Ragnhild Testmo (ny)");
    const first = rows.match(/<tr[^]*?<\/tr>/)?.[0] ?? "";
    // The row in use sinks below one that is new.
    const fresh = first.replaceAll(/(row-|views\/)[0-9a-f]+/g, "$1ffffffffffffffffffffffffffffffff").replaceAll("Ragnhild Testmo (ny)", "En annen");
    await route.fulfill({ response: answer, body: rows.replace(first, fresh + first) });
  });
  await list.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await list.waitForFunction(() => document.querySelector("#rows > tr")?.textContent?.includes("En annen"));
  const kept = await list.evaluate(() => ({
    focus: document.activeElement?.textContent ?? "",
    second: document.querySelectorAll("#rows > tr")[1]?.textContent ?? "",
  }));
  check(kept.focus.includes("(ny)") && kept.second.includes("(ny)"), "new rows move around the one that has the focus, which is brought up to date");
  check(/oppdatert kl\./.test((await list.textContent("#live")) ?? ""), "the page says when the list was updated");
  await accessible(list, "list that has been updated");
  await list.unroute("**/list/rows?*");
  // What the page has it is told the place of alone: the rows are lent, in their new order; one that it does not have makes it ask for all.
  await list.reload();
  const ids = () => list.locator("#rows > tr").evaluateAll((rows) => rows.map((row) => row.textContent && row.id));
  const given = await ids();
  await list.evaluate(() => {
    const second = document.querySelector("#rows > tr").cloneNode(true);
    Object.assign(second, { id: "row-second" }).dataset.tag = "second";
    document.getElementById("rows").append(second);
  });
  const asked = [];
  let places = (known) => known.split(",").slice(1).reverse();
  await list.route("**/list/rows?*", async (route) => {
    const known = new URL(route.request().url()).searchParams.get("known") ?? "";
    asked.push(known);
    const answer = await route.fetch({ url: new URL("/list/rows?known=other", url).href });
    const rows = places(known).map((tag) => `<tr data-tag="${tag}" data-held></tr>`).join("");
    const body = (await answer.text()).replace(/(<tbody id="rows"[^>]*>)[^]*?<\/tbody>/, (all, start) => (known === "" ? all : `${start}${rows}</tbody>`));
    await route.fulfill({ response: answer, body });
  });
  await list.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await list.waitForFunction(() => document.querySelector("#rows > tr")?.id === "row-second");
  check(asked[0]?.split(",").length === given.length + 2, "the page says which rows it has");
  check((await ids()).join() === ["row-second", ...given.reverse()].join(), "rows that have not changed are put in their new order without being given again");
  places = () => ["strange"];
  await list.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await list.waitForFunction(() => !document.getElementById("row-second"));
  check(asked.at(-1) === "" && (await ids()).join() === given.reverse().join(), "where a row is missing, the page asks for all of them");
  await list.unroute("**/list/rows?*");
  // A list that begins empty fills by itself, and what stands around the rows with it; by the service's clock, whatever the browser's.
  const none = (body) => body.replace(/(<tbody id="rows"[^>]*>)[^]*?<\/tbody>/, "$1</tbody>").replace(/data-tag="[^"]*"/, 'data-tag="none"').replace(/(<p id="shows"[^>]*>)[^<]*/, "$1Ingen");
  await list.route("**/list", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: none(await answer.text()) });
  });
  await list.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() - 5 * 3_600_000;
  });
  await list.reload();
  check((await list.locator("#rows > tr").count()) === 0, "the list begins empty");
  await list.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await list.locator("#rows > tr").first().waitFor();
  check(/^Viser 1/.test((await list.textContent("#shows")) ?? ""), "it fills by itself, and says how many there are");
  await list.unroute("**/list");
  await list.reload();
  await list.locator("#rows > tr").first().locator("a").last().focus();
  await list.keyboard.press("Enter");
  await list.waitForURL("**/alerts");
  check((await list.locator(".alert-of").count()) >= 1, "by keyboard, the row leads to the patient's alert");
  await accessible(list, "page of a patient's alerts");
  await picture(list, "14-alerts");
  await list.locator("textarea").first().fill("Ringte, hun tar trinnet i planen");
  await list.getByRole("button", { name: "Ta varselet" }).first().click();
  await list.waitForSelector(".notes");
  check(await list.getByText("Mari Syntetisk, Fjellvik kommune").first().isVisible(), "taken, the alert says who has it");
  await accessible(list, "page of an alert that somebody has");
  await picture(list, "15-alert-owned");
  await list.getByRole("link", { name: "Åpne pasientens side" }).click();
  await list.waitForSelector("#curve-spo2 canvas");
  check(await list.locator(".patient", { hasText: "148352 10260" }).isVisible(), "from there to the patient's page");
  await ward.close();

  // The patient herself: who looked, whom she shuts out, and taking it back. The clinician above is in her log.
  const hers = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "nb-NO" });
  const own = await watched(hers);
  await own.goto(url);
  await own.locator('button.person[value="c0"]').click();
  await own.waitForURL("**/log");
  const shut = own.getByRole("button", { name: "Sperr for", exact: false }).first();
  check(await shut.isVisible(), "the patient sees who looked, with a button beside the name");
  await accessible(own, "patient's log");
  await picture(own, "8-log");
  await own.getByRole("link", { name: "Hvem kan se" }).click();
  await own.waitForURL("**/may-look");
  check((await own.getByRole("row", { name: "Prøvebakken legesenter" }).count()) > 0, "the patient sees who may look, by agreement");
  check(await own.getByText("har fullmakt til å se").isVisible(), "and who acts for her");
  await accessible(own, "patient's page of who may look");
  await picture(own, "8-may-look");
  await own.setViewportSize({ width: 390, height: 844 });
  const wider = await own.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wider <= 0, "a phone needs no sideways scrolling for who may look");
  await own.setViewportSize({ width: 1440, height: 1000 });
  await own.goBack();
  await own.waitForURL("**/log");
  await shut.focus();
  await own.keyboard.press("Enter");
  await own.waitForURL("**/blocks");
  check((await own.textContent("h1"))?.trim() === "Sperren gjelder", "by keyboard, a person is shut out at every holder");
  await accessible(own, "receipt of a block");
  await own.getByRole("link", { name: "Mine sperrer" }).first().click();
  await own.waitForSelector("#held");
  check(await own.getByText("Person: ").first().isVisible(), "the block is listed with the person's name");
  await accessible(own, "patient's blocks");
  await picture(own, "9-blocks");
  await own.setViewportSize({ width: 390, height: 844 });
  const over = await own.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 0, "a phone needs no sideways scrolling for the blocks");
  await own.setViewportSize({ width: 1440, height: 1000 });
  await own.getByRole("button", { name: "Opphev", exact: false }).first().click();
  await own.waitForURL("**/blocks/end");
  check((await own.textContent("h1"))?.trim() === "Sperren er opphevet", "and let in again");
  await hers.close();

  // Without a record system: why, the anchor's sign-in page, the patient named in a form, and the page about her.
  const alone = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: "nb-NO" });
  const way = await watched(alone);
  await way.goto(url);
  await way.getByRole("link", { name: "Logg på og åpne en pasient" }).click();
  await way.waitForURL("**/sign-in");
  await accessible(way, "page that asks why");
  await picture(way, "10-why");
  await way.getByRole("button", { name: "Gå til pålogging", exact: true }).click();
  await way.waitForURL("**/authorize?*");
  await accessible(way, "anchor's sign-in page");
  await way.locator("button.person", { hasText: "Sigurd Testlege" }).click();
  await way.waitForSelector("#number");
  await accessible(way, "anchor's page for naming the patient");
  await way.locator("#number").fill("14835210261");
  await way.keyboard.press("Enter");
  await way.waitForSelector("#number-fault");
  await accessible(way, "anchor's page for a number that is none");
  await picture(way, "11-number");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("status of 422")));
  await way.locator("#number").fill("148352 10260");
  await way.keyboard.press("Enter");
  await way.waitForURL("**/views/*");
  await way.waitForSelector("#curve-spo2 canvas");
  check(await way.locator(".patient", { hasText: "148352 10260" }).isVisible(), "the patient who was named is shown");
  check(await way.locator(".patient", { hasText: "BEHANDLER" }).isVisible(), "the banner shows the grounds of the look-up");
  await accessible(way, "page that a launch opened");
  await picture(way, "12-launched");
  // The anchor's policy lets no font in, and the styles that it shares with the portal name some: the system's own serve there.
  faults.splice(0, faults.length, ...faults.filter((fault) => !/Loading the font '[^']*\/anchor\//.test(fault)));
  const jar = await alone.cookies();
  check(jar.every((cookie) => cookie.httpOnly), "no cookie of a launch is for script");
  check(jar.find((cookie) => cookie.name === "delt-demo-session")?.sameSite === "Strict", "the session's cookie is strict");
  await way.reload();
  await way.waitForSelector("#curve-spo2 canvas");
  check((await way.goto(new URL("/patients", url).href))?.status() === 404, "a launch opens one patient and no list");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("status of 404")));
  await accessible(way, "page that is not there in a launch");
  check((await way.goto(new URL("/launch?iss=https://evil.example/fhir&launch=x", url).href))?.status() === 400, "another server's launch is a page that says so");
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("status of 400")));
  await accessible(way, "page for a launch that came to nothing");
  await alone.close();

  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1440, height: 1000 }, locale: "nb-NO" });
  const bare = await watched(plain);
  await bare.goto(url);
  await bare.locator("button.person").first().click();
  await bare.getByRole("button", { name: "Åpne pasient" }).click();
  await bare.waitForURL("**/views/*");
  check((await bare.locator('tr[data-of="spo2"]').count()) === years, "without script the tables hold every reading");
  check(!(await bare.locator("#range").isVisible()), "without script no button is shown that would do nothing");
  await picture(bare, "7-patient-without-script");
  await plain.close();
} catch (error) {
  faults.push(error.message);
} finally {
  await browser.close();
}

for (const fault of faults) console.error(`fault: ${fault}`);
console.log(`${checks} checks, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
