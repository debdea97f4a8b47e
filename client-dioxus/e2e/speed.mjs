// node speed.mjs URL: what the client costs. Needs a server that lets anybody register, without rate limits.
import { Person, browser, saw } from "./client.mjs";

const ROOMS = Number(process.env.ROOMS ?? 100);
const SAMPLES = 60;
const [url] = process.argv.slice(2);
const chromium = await browser();

async function api(method, path, token, body) {
    const answer = await fetch(`${url}/_matrix/client/v3/${path}`, {
        method,
        headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
        body: JSON.stringify(body ?? {}),
    });
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(json)}`);
    return json;
}

const name = `speed${Date.now()}`;
const password = "correct horse battery";
const { access_token: token } = await api("POST", "register", undefined, {
    username: name, password, auth: { type: "m.login.dummy" },
});
for (let index = 0; index < ROOMS; index++) {
    const { room_id: room } = await api("POST", "createRoom", token, { name: `Room ${index}` });
    await api("PUT", `rooms/${encodeURIComponent(room)}/send/m.room.message/${index}`, token, {
        msgtype: "m.text", body: `Message ${index}`,
    });
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const firstPaint = [];
const form = [];
const signIn = [];
const warm = [];
let person;
for (let run = 0; run < 3; run++) {
    await person?.context.close();
    const begun = performance.now();
    person = await Person.at(chromium, url);
    await person.page.getByLabel("User name").waitFor();
    form.push(performance.now() - begun);
    firstPaint.push(await person.page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0));
    await person.page.getByLabel("User name").fill(name);
    await person.page.getByLabel("Password").fill(password);
    const pressed = performance.now();
    await person.button("Sign in").click();
    await person.page.locator(".room-item").nth(20).waitFor();
    signIn.push(performance.now() - pressed);
    const reloaded = performance.now();
    await person.page.reload();
    await person.page.locator(".room-item").nth(20).waitFor();
    warm.push(performance.now() - reloaded);
}

await person.page.locator(".room-item").first().click();
await person.composer().waitFor();
// From the key's event to the echo's place in the page, measured inside of it.
const echoes = [];
for (let sample = 0; sample < SAMPLES; sample++) {
    await person.composer().fill(`echo ${sample}`);
    await person.page.evaluate((text) => {
        globalThis.echo = new Promise((resolve) => {
            let pressed;
            document.querySelector("#composer").addEventListener("keydown", () => (pressed = performance.now()), {
                capture: true, once: true,
            });
            const watch = new MutationObserver(() => {
                const rows = document.querySelectorAll(".message .body");
                if ([...rows].some((row) => row.textContent === text)) {
                    watch.disconnect();
                    resolve(performance.now() - pressed);
                }
            });
            watch.observe(document.querySelector(".timeline"), { subtree: true, childList: true, characterData: true });
        });
    }, `echo ${sample}`);
    await person.composer().press("Enter");
    echoes.push(await person.page.evaluate(() => globalThis.echo));
    // As somebody who writes quickly.
    await person.page.waitForTimeout(400);
}
echoes.sort((a, b) => a - b);
const round = (value) => Math.round(value * 10) / 10;
saw("speed", {
    rooms: ROOMS,
    first_paint_ms: round(median(firstPaint)),
    sign_in_form_ms: round(median(form)),
    sign_in_to_room_list_ms: round(median(signIn)),
    reload_to_room_list_ms: round(median(warm)),
    key_to_echo_median_ms: round(median(echoes)),
    key_to_echo_p95_ms: round(echoes[Math.floor(echoes.length * 0.95)]),
    mounted_rows: await person.page.locator(".log > *").count(),
});
await chromium.close();
saw("end");
