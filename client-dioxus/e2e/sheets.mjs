// node sheets.mjs FROM TO: of what screenshots.mjs and call.mjs made, one picture for each view: light and dark beside
// each other, English above Chinese.
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { browser, saw } from "./client.mjs";

const [from, to] = process.argv.slice(2);
mkdirSync(to, { recursive: true });
const files = readdirSync(from).filter((name) => name.endsWith(".png"));
const look = /-(light|dark)-(en|zh-CN)(-narrow)?\.png$/;
const LOOKS = ["-light-en", "-dark-en", "-light-zh-CN", "-dark-zh-CN"];
const chromium = await browser();
const page = await (await chromium.newContext({ viewport: { width: 1296, height: 100 } })).newPage();

async function sheet(name, pictures, width) {
    const images = pictures.map((it) => `<img src="data:image/png;base64,${readFileSync(join(from, it), "base64")}">`);
    await page.setContent(`<style>body { margin: 0; display: flex; flex-wrap: wrap; gap: 8px; background: #80848c; }
        img { width: ${width}px; }</style>${images.join("")}`);
    await page.waitForFunction(() => [...document.images].every((it) => it.complete));
    await page.locator("body").screenshot({ path: join(to, `${name}.png`) });
}

for (const view of new Set(files.map((it) => it.replace(look, "").replace(/\.png$/, "")))) {
    const wide = LOOKS.map((it) => `${view}${it}.png`).filter((it) => files.includes(it));
    const plain = files.includes(`${view}.png`) ? [`${view}.png`] : [];
    const pictures = [...wide, ...plain];
    if (pictures.length > 0) await sheet(view, pictures, pictures.length === 1 ? 960 : 644);
    const narrow = LOOKS.map((it) => `${view}${it}-narrow.png`).filter((it) => files.includes(it));
    if (narrow.length > 0) await sheet(`${view}-narrow`, narrow, 318);
}
await chromium.close();
saw("end");
