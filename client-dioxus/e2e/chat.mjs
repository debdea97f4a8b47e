// node chat.mjs URL: two people find each other, verify, chat encrypted, send a picture, and read it all again.
import assert from "node:assert/strict";
import { Person, browser, picture, saw, verify } from "./client.mjs";

const [url] = process.argv.slice(2);
const chromium = await browser();
const [alice, bob] = [await Person.at(chromium, url), await Person.at(chromium, url)];
await alice.button("Create an account").waitFor();
await alice.accessible("signing in");
await alice.register("alice");
await bob.register("bob");
saw("registered");

await alice.ask("bob");
await bob.button("Accept").waitFor();
await bob.accessible("a request");
await bob.accept();
saw("friends");

await alice.say("Hello **Bob**, this is encrypted", "Hello Bob, this is encrypted");
await bob.sees("Hello Bob, this is encrypted");
assert.equal(await bob.message("Hello Bob").locator("strong").innerText(), "Bob");
await bob.page.getByRole("img", { name: "Encrypted", exact: true }).waitFor();
await alice.saysOnce("Said once");
await bob.say("And so is this");
await alice.sees("And so is this");
saw("encrypted chat");

const changes = alice.page.getByRole("button", { name: /created the room and changed \d+ settings/ });
assert.equal(await changes.getAttribute("aria-expanded"), "false");
assert.equal(await alice.page.locator(".fold .event").count(), 1);
await changes.focus();
await alice.page.keyboard.press("Enter");
const created = alice.page.locator(".fold div.event", { hasText: /created the room$/ });
await created.waitFor();
assert.equal(await changes.getAttribute("aria-expanded"), "true");
await alice.accessible("changes of a room");
await changes.click();
await created.waitFor({ state: "detached" });
saw("changes in one line");

await verify(alice, bob);
saw("verified by emoji");

await alice.act("And so is this", "React with 👍");
await bob.message("And so is this").locator(".reaction", { hasText: "👍" }).waitFor();
saw("reaction");
await alice.act("And so is this", "Reply");
await alice.say("An answer");
await bob.message("An answer").locator(".quote", { hasText: "And so is this" }).waitFor();
saw("reply");
await bob.act("And so is this", "Edit");
await bob.composer().fill("And so is that");
await bob.composer().press("Enter");
await alice.message("And so is that").locator(".edited").waitFor();
saw("edit");
await bob.say("Not meant for you");
await alice.sees("Not meant for you");
await bob.act("Not meant for you", "More");
await bob.page.getByRole("menuitem", { name: "Delete" }).click();
await alice.sees("Message deleted");
await alice.seesNot("Not meant for you");
saw("redaction");

await bob.composer().pressSequentially("Still wri");
await alice.page.locator(".typing", { hasText: "is typing" }).waitFor();
await bob.composer().fill("");
saw("typing");

await alice.attach([{ name: "sky.png", mimeType: "image/png", buffer: await picture(chromium) }]);
await alice.seesPicture();
await bob.seesPicture();
await bob.attach([{ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("Remember the milk") }]);
await alice.page.locator(".message .file", { hasText: "notes.txt" }).waitFor();
saw("picture and file");
await alice.accessible("a room");

for (const person of [alice, bob]) {
    await person.page.reload();
    await person.sees("Hello Bob, this is encrypted");
    await person.seesPicture();
}
saw("read again after a reload");

// One's own words fill the page; what was before them comes too.
for (let line = 0; line < 25; line++) await alice.say(`Line ${line}.`);
await alice.isStored("Line 24.");
await alice.page.reload();
await alice.sees("Line 24.");
await alice.sees("Hello Bob, this is encrypted");
saw("back to the beginning");

// Pages that go while messages come and are on their way.
const torn = [];
for (let page = 0; page < 4; page++) {
    const [mine, yours] = [`Mine ${page}.`, `Yours ${page}.`];
    await alice.say(mine);
    await alice.isStored(mine);
    await Promise.all([alice.page.close(), bob.say(yours)]);
    await alice.open();
    await alice.page.locator(".room-item", { hasText: "bob" }).click();
    torn.push(mine, yours);
    for (const person of [alice, bob]) await person.seesOnce(torn);
    alice.done();
}
saw("pages closed in the middle");

// Both tabs would write the same keys: one at a time.
const second = await alice.tab();
await second.page.getByRole("heading", { name: "Kith is open in another tab" }).waitFor();
await second.accessible("another tab");
await second.button("Use it here").click();
await second.page.locator(".room-item", { hasText: "bob" }).click();
await second.sees("Hello Bob, this is encrypted");
await alice.page.getByRole("heading", { name: "Kith is open in another tab" }).waitFor();
await second.say("From the second tab");
await bob.sees("From the second tab");
second.done();
await second.page.close();
await alice.button("Use it here").click();
await alice.sees("From the second tab");
saw("one tab at a time");

await alice.button("Settings").click();
await alice.button("简体中文").click();
await alice.page.getByRole("heading", { name: "语言" }).waitFor();
await alice.page.reload();
await alice.page.getByRole("button", { name: "查找联系人" }).first().waitFor();
await alice.page.getByRole("button", { name: "设置", exact: true }).click();
await alice.page.getByRole("button", { name: "English" }).click();
await alice.button("Dark").click();
assert.equal(await alice.page.locator(".app").getAttribute("data-theme"), "dark");
await alice.accessible("settings in the dark");
saw("language and theme");

await alice.button("Security").click();
await alice.button("Set up a recovery key").click();
const key = await alice.page.locator("#recovery-key").innerText();
assert.match(key, /^[A-Za-z0-9]{4}( [A-Za-z0-9]{1,4})+$/);
await alice.button("Profile").click();
await alice.button("Sign out").click();
await alice.signIn("alice");
await alice.button("Settings").click();
await alice.button("Security").click();
await alice.page.getByLabel("Recovery key").fill(key);
await alice.button("Unlock").click();
await alice.page.getByText("This device is verified", { exact: true }).waitFor();
await alice.button("Close").first().click();
await alice.page.locator(".room-item", { hasText: "bob" }).click();
await alice.sees("Hello Bob, this is encrypted");
saw("recovered on a new device");

// The key is lost, and so is every other device.
await alice.button("Settings").click();
await alice.button("Profile").click();
await alice.button("Sign out").click();
await alice.signIn("alice");
await alice.button("Settings").click();
await alice.button("Security").click();
await alice.button("I have lost everything").click();
await alice.page.getByLabel("Password").fill("not my password");
await alice.button("Begin anew").click();
await alice.page.getByText("User name or password is wrong").waitFor();
await alice.accessible("a new identity");
await alice.page.getByLabel("Password").fill("correct horse battery");
await alice.button("Begin anew").click();
await alice.page.getByText("This device is verified", { exact: true }).waitFor();
await alice.page.getByText("Keys are backed up").first().waitFor();
await alice.button("Set up a recovery key").click();
assert.notEqual(await alice.page.locator("#recovery-key").innerText(), key);
saw("a new identity");

alice.done();
bob.done();
await chromium.close();
saw("end");
