// Alice sends a picture as Element Web does, Bob shows it as Element Web does. Says what was sent and what came.
// `story.mjs URL ROOM USER DEVICE TOKEN USER DEVICE TOKEN`, the page with element.js at URL.
import { chromium } from "playwright-core";

const [url, room, ...people] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });

async function open([userId, deviceId, accessToken]) {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => console.error(userId, error.stack));
    await page.goto(url);
    await page.waitForFunction(() => window.element);
    await page.evaluate(
        async ({ baseUrl, userId, deviceId, accessToken }) => {
            const client = window.element.createClient({ baseUrl, userId, deviceId, accessToken });
            await client.initRustCrypto({ useIndexedDB: false });
            await client.startClient({ initialSyncLimit: 20 });
            await new Promise((done) => client.on("sync", (state) => state === "PREPARED" && done()));
            window.element.MatrixClientPeg.matrixClient = client;
            window.client = client;
            // What Element's service worker does.
            const fetched = window.fetch.bind(window);
            window.fetch = (resource, options) => {
                const url = String(resource).replace("/_matrix/media/v3/", "/_matrix/client/v1/media/");
                const headers = { ...options?.headers, authorization: `Bearer ${accessToken}` };
                const media = url.includes("/_matrix/client/v1/media/");
                return media ? fetched(url, { ...options, headers }) : fetched(resource, options);
            };
            window.digest = async (blob) => {
                const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
                return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
            };
        },
        { baseUrl: url, userId, deviceId, accessToken },
    );
    return page;
}

const alice = await open(people.slice(0, 3));
const bob = await open(people.slice(3, 6));
const sent = await alice.evaluate(async (room) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1600, height: 1200 });
    const context = canvas.getContext("2d");
    for (let x = 0; x < 1600; x += 20) {
        for (let y = 0; y < 1200; y += 20) {
            context.fillStyle = `rgb(${x % 256}, ${y % 256}, ${(x * y) % 256})`;
            context.fillRect(x, y, 20, 20);
        }
    }
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const file = new File([blob], "colours.png", { type: "image/png" });
    const { ContentMessages } = window.element;
    await ContentMessages.sharedInstance().sendContentToRoom(file, room, undefined, window.client, undefined);
    return { size: blob.size, digest: await window.digest(blob) };
}, room);
const came = await bob.evaluate(async (room) => {
    const readable = (event) => event.getType() === "m.room.message" && !event.isDecryptionFailure();
    const find = () => window.client.getRoom(room)?.getLiveTimeline().getEvents().find(readable);
    while (!find()) await new Promise((done) => setTimeout(done, 50));
    const event = find();
    const shown = new window.element.MediaEventHelper(event);
    const source = await shown.sourceBlob.value;
    const thumbnail = await createImageBitmap(await shown.thumbnailBlob.value);
    const media = window.element.mediaFromContent(event.getContent(), window.client);
    const came = {
        digest: await window.digest(source),
        type: source.type,
        thumbnail: [thumbnail.width, thumbnail.height],
        encrypted: media.isEncrypted,
    };
    if (!media.isEncrypted) {
        const answer = await fetch(media.getThumbnailOfSourceHttp(320, 240, "scale"));
        const scaled = await createImageBitmap(await answer.blob());
        came.scaled = [scaled.width, scaled.height];
    }
    return came;
}, room);
console.log(JSON.stringify({ sent, came }));
await browser.close();
