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
await bob.say("And so is this");
await alice.sees("And so is this");
saw("encrypted chat");

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

alice.done();
bob.done();
await chromium.close();
saw("end");
