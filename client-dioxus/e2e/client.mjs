// The client as a person sees it, in Debian's Chromium.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const PATIENCE = 60_000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Says what was seen; a line of JSON for whoever runs the spec. */
export function saw(what, more = {}) {
    console.log(JSON.stringify({ saw: what, ...more }));
}

/** For calls: a microphone that beeps, a camera that shows a green clock, and nobody is asked. */
const FAKE_DEVICES = [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=15",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
];

export async function browser({ devices = false } = {}) {
    const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
    const args = [...sandbox, "--disable-dev-shm-usage", ...(devices ? FAKE_DEVICES : [])];
    return chromium.launch({ executablePath: "/usr/bin/chromium", args });
}

/** Somebody with a browser of their own. */
export class Person {
    /** @param options of Playwright's `newContext` */
    static async at(browser, url, options = {}) {
        const context = await browser.newContext({ locale: "en-US", viewport: { width: 1280, height: 800 }, ...options });
        context.setDefaultTimeout(PATIENCE);
        const person = new Person();
        person.context = context;
        person.url = url;
        return person.open();
    }

    /** The same browser, another tab of it. */
    async tab() {
        const { context, url, name } = this;
        return Object.assign(new Person(), { context, url, name }).open();
    }

    async open() {
        this.page = await this.context.newPage();
        this.complaints = [];
        this.page.on("pageerror", (error) => this.complaints.push(`${error}`));
        this.page.on("console", (message) => {
            if (process.env.KITH_E2E_LOG) console.error(`[${this.name ?? "?"}] ${message.text()}`);
            if (/Content Security Policy|panicked/.test(message.text())) this.complaints.push(message.text());
        });
        await this.page.goto(this.url);
        return this;
    }

    button(name, within = this.page) {
        return within.getByRole("button", { name, exact: true });
    }

    async chooseServer(address) {
        await this.button("Change").click();
        await this.page.getByLabel("Server address").fill(address);
        await this.button("Continue").click();
        await this.page.getByLabel("User name").waitFor();
    }

    async register(name, password = "correct horse battery") {
        await this.button("Create an account").click();
        await this.enter(name, password, "Create an account");
    }

    async signIn(name, password = "correct horse battery") {
        await this.enter(name, password, "Sign in");
    }

    async enter(name, password, button) {
        this.name = name;
        await this.page.getByLabel("User name").fill(name);
        await this.page.getByLabel("Password").fill(password);
        await this.button(button).click();
        await this.page.locator(".sidebar").waitFor();
    }

    /** Finds somebody, and opens a chat with them. */
    async ask(name) {
        await this.button("Find people", this.page.locator(".sidebar-head")).click();
        await this.page.getByLabel("Name or user ID").fill(name);
        await this.button("Chat").first().click();
        await this.composer().waitFor();
    }

    async accept() {
        await this.button("Accept").click();
        await this.composer().waitFor();
    }

    composer() {
        return this.page.locator("#composer");
    }

    /** @param shown as it is drawn, where that differs from what is typed */
    async say(text, shown = text) {
        await this.composer().fill(text);
        await this.composer().press("Enter");
        await this.message(shown).waitFor();
    }

    /** Until the page may go: what one says is drawn before it is stored. */
    async isStored(text) {
        await this.message(text).and(this.page.locator("[id^=event-]")).waitFor();
    }

    /** Says it, and looks at each frame for three seconds: as soon as it is there it stays, and it is there once. */
    async saysOnce(text) {
        await this.composer().fill(text);
        const counts = this.page.evaluate(async (text) => {
            const counts = [];
            for (const end = performance.now() + 3000; performance.now() < end; ) {
                await new Promise(requestAnimationFrame);
                const bodies = [...document.querySelectorAll(".message .body")];
                counts.push(bodies.filter((body) => body.textContent.includes(text)).length);
            }
            return counts.join("");
        }, text);
        await this.composer().press("Enter");
        assert.match(await counts, /^0*1+$/);
    }

    /** The row of a message that says this, and does not only answer to it. */
    message(text) {
        return this.page.locator(".message", { has: this.page.locator(".body", { hasText: text }) }).last();
    }

    async sees(text) {
        await this.message(text).waitFor();
    }

    /** Each of them once, in the end: what one has sent is there beside what one sends until the server answers. */
    async seesOnce(texts) {
        await this.page.waitForFunction((texts) => {
            const bodies = [...document.querySelectorAll(".message .body")].map((body) => body.textContent);
            return texts.every((text) => bodies.filter((body) => body === text).length === 1);
        }, texts);
    }

    async seesNot(text) {
        await this.page.locator(".message .body", { hasText: text }).first().waitFor({ state: "detached" });
    }

    /** One of the buttons that a message has when one points at it. */
    async act(text, button) {
        const message = this.message(text);
        await message.hover();
        await this.button(button, message).click();
    }

    async attach(files) {
        await this.page.locator(".composer input[type=file]").setInputFiles(files);
        await this.page.locator(".pending .file").first().waitFor();
        await this.composer().press("Enter");
    }

    /** A picture whose pixels have come. */
    async seesPicture() {
        const picture = this.page.locator(".message .picture img").last();
        await picture.waitFor();
        await this.page.waitForFunction(() => {
            const pictures = document.querySelectorAll(".message .picture img");
            return [...pictures].some((picture) => picture.complete && picture.naturalWidth > 0);
        });
    }

    async openDetails() {
        if ((await this.page.locator(".details").count()) === 0) await this.button("Room details").click();
        await this.page.locator(".details").waitFor();
    }

    /** The pictures of a verification, in order. */
    async signs() {
        const signs = this.page.locator("#verify .signs li");
        await signs.nth(6).waitFor();
        return signs.allInnerTexts();
    }

    /** Rules of WCAG that a program can check. */
    async accessible(where) {
        // Colours on their way from one to another are none.
        await this.page.evaluate(() => {
            const passing = document.getAnimations().filter((it) => it.effect.getComputedTiming().endTime !== Infinity);
            return Promise.allSettled(passing.map((it) => it.finished)).then(() => undefined);
        });
        await this.page.evaluate(axe);
        const found = await this.page.evaluate(() =>
            globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }),
        );
        const wrong = found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
        assert.deepEqual(wrong, [], `accessible: ${where}`);
    }

    /** Nothing broke on the way, and the page's policy was kept. */
    done() {
        assert.deepEqual(this.complaints, []);
    }
}

/** Two people see the same pictures, and say so. */
export async function verify(asker, asked) {
    await asker.openDetails();
    await asker.button("Verify this person").click();
    await asked.button("Start").click();
    const [one, other] = await Promise.all([asker.signs(), asked.signs()]);
    assert.equal(one.length, 7);
    assert.deepEqual(one, other);
    await asker.button("They are the same").click();
    await asked.button("They are the same").click();
    for (const person of [asker, asked]) {
        await person.page.locator("#verify").getByRole("heading", { name: "Verified" }).waitFor();
        await person.button("Done").click();
    }
}

/** A PNG of one colour gradient, made here so that no file has to be kept. */
export async function picture(browser, width = 640, height = 400) {
    const page = await browser.newPage();
    const data = await page.evaluate(([width, height]) => {
        const canvas = Object.assign(document.createElement("canvas"), { width, height });
        const pen = canvas.getContext("2d");
        const sky = pen.createLinearGradient(0, 0, width, height);
        sky.addColorStop(0, "#12a594");
        sky.addColorStop(0.6, "#0b6e8f");
        sky.addColorStop(1, "#ffd166");
        pen.fillStyle = sky;
        pen.fillRect(0, 0, width, height);
        pen.fillStyle = "#ffffffcc";
        pen.beginPath();
        pen.arc(width * 0.7, height * 0.35, height * 0.14, 0, 7);
        pen.fill();
        return canvas.toDataURL("image/png").split(",")[1];
    }, [width, height]);
    await page.close();
    return Buffer.from(data, "base64");
}
