// Ann, Bob and Eve in Debian's Chromium with fake devices, through `livekit-client`.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

const [page, url, ann, bob, eve, encrypted] = process.argv.slice(2);
const dist = dirname(createRequire(import.meta.url).resolve("livekit-client"));
const files = {
  "/": page,
  "/livekit-client.umd.js": join(dist, "livekit-client.umd.js"),
  "/livekit-client.e2ee.worker.js": join(dist, "livekit-client.e2ee.worker.js"),
};
const saw = (what, more) => console.log(JSON.stringify({ saw: what, ...more }));

const server = createServer(async (request, response) => {
  const file = files[new URL(request.url, "http://x").pathname];
  if (!file) return response.writeHead(404).end();
  const type = file.endsWith(".html") ? "text/html" : "text/javascript";
  response.writeHead(200, { "content-type": type }).end(await readFile(file));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}/`;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=15",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
  ],
});

async function person(token, key) {
  const context = await browser.newContext({ permissions: ["camera", "microphone"] });
  const tab = await context.newPage();
  tab.on("pageerror", (error) => console.error(error));
  tab.on("console", (line) => line.type() === "error" && console.error(line.text()));
  await tab.goto(origin);
  const took = await tab.evaluate(([url, token, key]) => join(url, token, key), [url, token, key]);
  return { tab, took };
}

/** Waits until `condition` holds in the page. */
async function until(who, what, condition, argument) {
  try {
    await who.tab.waitForFunction(condition, argument, { timeout: 30_000, polling: 100 });
  } catch (error) {
    const states = Object.entries(people).map(async ([name, { tab }]) => [name, await tab.evaluate(() => state())]);
    const told = JSON.stringify(Object.fromEntries(await Promise.all(states)));
    throw new Error(`waits in vain: ${what}: ${told}`, { cause: error });
  }
}
/** More frames than now, and they are the fake camera's: green. */
async function watches(who, identity) {
  const before = await who.tab.evaluate((identity) => seen[identity]?.frames ?? 0, identity);
  await until(who, `picture of ${identity}`, ([identity, before]) => {
    const state = seen[identity];
    const green = state?.colour && state.colour[1] > state.colour[0] + 30 && state.colour[1] > state.colour[2] + 30;
    return green && state.frames > before + 20;
  }, [identity, before]);
}
const listens = (who, identity) =>
  until(who, `sound of ${identity}`, (identity) => heard[identity]?.loudest > 0.05, identity);

const key = encrypted === "encrypted" ? "a secret that the relay never sees" : undefined;
const people = { ann: await person(ann, key) };
saw("joined", { milliseconds: people.ann.took });
await people.ann.tab.evaluate(() => room.localParticipant.enableCameraAndMicrophone());
people.bob = await person(bob, key);
await watches(people.bob, "ann");
saw("picture");
await listens(people.bob, "ann");
saw("sound");
await people.bob.tab.evaluate(() => room.localParticipant.enableCameraAndMicrophone());
await watches(people.ann, "bob");
await listens(people.ann, "bob");
saw("answer");

// The picture is shown small, then large, then small: other simulcast layers, without a break.
const width = (limit) =>
  until(people.bob, `layer of ${limit}`, (limit) => (limit < 0 ? seen.ann.width <= -limit : seen.ann.width >= limit), limit);
await width(-400);
await people.bob.tab.evaluate(() => { seen.ann.gap = 0; resize("ann", 1280, 720); });
await width(900);
await watches(people.bob, "ann");
await people.bob.tab.evaluate(() => resize("ann", 160, 90));
await width(-400);
saw("layers", { gap: await people.bob.tab.evaluate(() => seen.ann.gap) });

await people.ann.tab.evaluate(() => room.localParticipant.setMicrophoneEnabled(false));
await until(people.bob, "muted", () => room.remoteParticipants.get("ann").getTrackPublications().some((one) => one.kind === "audio" && one.isMuted));
await people.ann.tab.evaluate(() => room.localParticipant.setMicrophoneEnabled(true));
await until(people.bob, "unmuted", () => room.remoteParticipants.get("ann").getTrackPublications().every((one) => !one.isMuted));
saw("muted and not any more");

await people.ann.tab.evaluate(() => room.localParticipant.publishData(new TextEncoder().encode("hello"), { reliable: true }));
await until(people.bob, "data", () => data.some(([from, text]) => from === "ann" && text === "hello"));
saw("data");

// A late joiner sees both; one with another key sees nobody.
people.eve = await person(eve, key && "another secret");
if (key) {
  await new Promise((later) => setTimeout(later, 4000));
  const frames = await people.eve.tab.evaluate(() => Object.values(seen).map(({ frames }) => frames));
  if (frames.some((count) => count > 0)) throw new Error(`frames without the key: ${frames}`);
  saw("nothing without the key");
} else {
  await watches(people.eve, "ann");
  await watches(people.eve, "bob");
  saw("late joiner");
}

// The signalling connection is lost and comes back: the same session, and the picture goes on.
await people.bob.tab.evaluate(() => { room.engine.client.ws?.close?.(); room.simulateScenario("signal-reconnect"); });
await until(people.bob, "reconnected", () => room.state === "connected");
await watches(people.bob, "ann");
await watches(people.ann, "bob");
saw("resumed");

await people.ann.tab.evaluate(() => room.disconnect());
await until(people.bob, "ann left", () => !room.remoteParticipants.has("ann"));
saw("left");
await browser.close();
server.close();
saw("end");
