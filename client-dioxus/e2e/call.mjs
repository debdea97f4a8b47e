// node call.mjs URL [FOLDER]: two people in one encrypted call, each with a camera and a microphone; pictures of it
// go into the folder. Without one, somebody records the call as soon as both are in it.
import assert from "node:assert/strict";
import { Person, browser, saw } from "./client.mjs";

const [url, folder] = process.argv.slice(2);
const chromium = await browser({ devices: true });
const options = { permissions: ["camera", "microphone"] };
const [alice, bob] = [await Person.at(chromium, url, options), await Person.at(chromium, url, options)];
const shoot = async (person, name) => folder && person.page.screenshot({ path: `${folder}/${name}.png` });
await alice.register("alice");
await bob.register("bob");
await alice.ask("bob");
await bob.accept();
await alice.say("Shall we talk?");
await bob.sees("Shall we talk?");
saw("friends");

/** The library of calls is loaded by those who call, and by nobody else. */
const loaded = (person) =>
    person.page.evaluate(() => performance.getEntriesByType("resource").some((it) => it.name.includes("/livekit-")));
assert.equal(await loaded(alice), false);

await alice.button("Call").click();
const lobby = alice.page.locator("#lobby");
await alice.page.waitForFunction(() => document.querySelector("#call-preview")?.videoWidth > 0);
await alice.accessible("before a call");
await shoot(alice, "lobby");
await alice.button("Join the call", lobby).click();
await alice.page.locator(".tile.own video").waitFor();
assert.equal(await loaded(alice), true);
await bob.page.locator(".call-banner", { hasText: "is in a call" }).waitFor();
await shoot(bob, "invited");
await bob.page.locator(".call-banner").getByRole("button", { name: "Join" }).click();
await bob.button("Join the call", bob.page.locator("#lobby")).click();
saw("in a call");

/** Frames of the fake camera, decrypted: they are green, and more of them come. */
async function watches(person, other) {
    const tile = person.page.locator(".tile:not(.own)", { hasText: other }).locator("video");
    await tile.waitFor();
    await person.page.waitForFunction((video) => {
        if (!video?.videoWidth) return false;
        const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
        const pen = canvas.getContext("2d");
        pen.drawImage(video, 0, 0, 8, 8);
        const [red, green, blue] = pen.getImageData(1, 5, 1, 1).data;
        const frames = video.getVideoPlaybackQuality().totalVideoFrames;
        video.dataset.first ??= frames;
        return green > red + 30 && green > blue + 30 && frames > Number(video.dataset.first) + 20;
    }, await tile.elementHandle());
}

/** The fake microphone beeps once a second. */
const listens = (person) =>
    person.page.evaluate(async () => {
        const [element] = document.querySelectorAll("body > audio");
        const context = new AudioContext();
        const meter = context.createAnalyser();
        context.createMediaStreamSource(element.srcObject).connect(meter);
        const wave = new Float32Array(meter.fftSize);
        for (let look = 0; look < 400; look += 1) {
            meter.getFloatTimeDomainData(wave);
            if (wave.some((value) => Math.abs(value) > 0.05)) return context.close();
            await new Promise((later) => setTimeout(later, 50));
        }
        throw new Error("nothing is to be heard");
    });

await Promise.all([watches(alice, "bob"), watches(bob, "alice")]);
await Promise.all([listens(alice), listens(bob)]);
await alice.accessible("a call");
await shoot(alice, "call");
await shoot(bob, "call-of-the-other");
saw("picture and sound");

if (!folder) {
    await Promise.all([alice, bob].map((person) => person.page.getByText("This call is being recorded").waitFor()));
    saw("recorded");
}

await alice.button("Mute the microphone").click();
const aliceAtBobs = bob.page.locator(".tile:not(.own)");
await aliceAtBobs.getByRole("img", { name: "Muted" }).waitFor();
await alice.button("Switch the camera off").click();
await aliceAtBobs.locator("video").waitFor({ state: "detached" });
await alice.button("Switch the camera on").click();
await watches(bob, "alice");
saw("muted");

// What is written goes on beside it, and the call goes on while one looks elsewhere.
await bob.say("You are muted");
await alice.sees("You are muted");
await alice.button("Leave the call").click();
await alice.page.locator(".stage").waitFor({ state: "detached" });
await alice.page.locator(".call-banner", { hasText: "is in a call" }).waitFor();
await aliceAtBobs.waitFor({ state: "detached" });
await bob.button("Leave the call").click();
await alice.page.locator(".call-banner").waitFor({ state: "detached" });
saw("left");

/** Both are in the call again; the first of them begins it. */
async function again(first, second) {
    await first.button("Call").click();
    await first.button("Join the call", first.page.locator("#lobby")).click();
    await second.page.locator(".call-banner").getByRole("button", { name: "Join" }).click();
    await second.button("Join the call", second.page.locator("#lobby")).click();
    for (const person of [first, second]) await person.page.locator(".tile:not(.own)").waitFor();
}

// Whoever closes the page is out of the call at once, and not when the membership runs out.
await again(alice, bob);
await bob.page.goto("about:blank");
await alice.page.locator(".tile:not(.own)").waitFor({ state: "detached" });
await alice.button("Leave the call").click();
await alice.page.locator(".stage").waitFor({ state: "detached" });
await alice.page.locator(".call-banner").waitFor({ state: "detached" });
await bob.page.goto(url);
await bob.page.locator(".room-item", { hasText: "alice" }).click();
saw("page closed");

// Nor does whoever has no time to say a word stay in it: the server says it for them (MSC4140).
await again(alice, bob);
const gone = bob.page;
const machine = await bob.context.newCDPSession(gone);
machine.send("Page.crash").catch(() => {});
await alice.page.locator(".tile:not(.own)").waitFor({ state: "detached" });
await alice.button("Leave the call").click();
await alice.page.locator(".stage").waitFor({ state: "detached" });
await alice.page.locator(".call-banner").waitFor({ state: "detached" });
await bob.open();
await bob.page.locator(".room-item", { hasText: "alice" }).click();
saw("vanished");

// Whoever signs out is neither seen nor heard any more.
await again(bob, alice);
await alice.button("Settings").click();
await alice.button("Profile").click();
await alice.button("Sign out").click();
await alice.page.getByLabel("User name").waitFor();
await bob.page.locator(".tile:not(.own)").waitFor({ state: "detached" });
assert.equal(await alice.page.locator("video, body > audio").count(), 0);
await bob.button("Leave the call").click();
await bob.page.locator(".stage").waitFor({ state: "detached" });
await bob.page.locator(".call-banner").waitFor({ state: "detached" });
saw("signed out");

alice.done();
bob.done();
await chromium.close();
saw("end");
