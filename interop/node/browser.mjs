// A browser without a screen: keeps cookies for each origin, follows redirects, sends the forms that it meets, and stops where
// it is sent to the client's redirect URI, at which nobody listens.
import assert from "node:assert/strict";

const UNESCAPED = { "&amp;": "&", "&quot;": '"', "&#x2F;": "/", "&#47;": "/", "&#38;": "&", "&#34;": '"' };
const plain = (text) => text.replace(/&(?:amp|quot|#x2F|#47|#38|#34);/g, (found) => UNESCAPED[found]);

export class Browser {
  #cookies = new Map();
  /** Every address visited, without its query. */
  visited = [];
  /** The page where it stopped, if it did not come to the end. */
  page;

  #jar(url) {
    const origin = new URL(url).origin;
    if (!this.#cookies.has(origin)) this.#cookies.set(origin, new Map());
    return this.#cookies.get(origin);
  }

  async #ask(url, options = {}) {
    const jar = this.#jar(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...options.headers, ...(cookie && { cookie }) };
    const answer = await fetch(url, { ...options, headers, redirect: "manual" });
    this.visited.push(new URL(url).origin + new URL(url).pathname);
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "" || /max-age=0|expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }

  /** Goes to `url` and on, filling in forms with `fields`, until it is sent to `end`. Gives that address, or undefined. */
  async go(url, end, fields) {
    let answer = await this.#ask(url);
    for (let steps = 0; steps < 20; steps += 1) {
      const location = answer.headers.get("location");
      if (answer.status >= 300 && answer.status < 400 && location) {
        const to = new URL(location, url);
        if (to.href.startsWith(end)) return to;
        url = to.href;
        answer = await this.#ask(url);
        continue;
      }
      const html = await answer.text();
      this.page = { status: answer.status, html };
      const form = /<form[^>]*action="([^"]+)"[^>]*>([\s\S]*?)<\/form>/.exec(html);
      if (answer.status !== 200 || !form || !fields) return undefined;
      const body = new URLSearchParams();
      for (const [input] of form[2].matchAll(/<input[^>]*>/g)) {
        const name = /name="([^"]*)"/.exec(input)?.[1];
        const value = /value="([^"]*)"/.exec(input)?.[1];
        if (name) body.set(name, fields[name] ?? plain(value ?? ""));
      }
      const origin = new URL(url).origin;
      url = new URL(plain(form[1]), url).href;
      const headers = { "content-type": "application/x-www-form-urlencoded", origin };
      answer = await this.#ask(url, { method: "POST", headers, body });
    }
    assert.fail(`too many steps: ${this.visited.join(" ")}`);
  }
}
