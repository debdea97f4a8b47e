// node screenshots.mjs URL FOLDER: every view, in both themes and both languages, wide and narrow.
import { mkdirSync } from "node:fs";
import { Person, browser, picture, saw, verify } from "./client.mjs";

const [url, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };
const LOOKS = ["light", "dark"].flatMap((theme) => ["en", "zh-CN"].map((language) => ({ theme, language })));
const PASSWORD = "correct horse battery";
const chromium = await browser();

/** A small server's worth of people who have things to say. */
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

async function account(name, called) {
    const made = await api("POST", "register", undefined, { username: name, password: PASSWORD, auth: { type: "m.login.dummy" } });
    await api("PUT", `profile/${encodeURIComponent(made.user_id)}/displayname`, made.access_token, { displayname: called });
    return { token: made.access_token, id: made.user_id };
}

let transaction = 0;
const say = (who, room, content) =>
    api("PUT", `rooms/${encodeURIComponent(room)}/send/m.room.message/t${transaction++}`, who.token, {
        msgtype: "m.text", ...(typeof content === "string" ? { body: content } : content),
    });
const formatted = (body, formatted_body) => ({ body, formatted_body, format: "org.matrix.custom.html" });

async function rooms(owner, others) {
    const ids = {};
    for (const [name, topic] of [["Garden", "Who waters what, and when"], ["Release 1.0", "What is left until Friday"], ["Books", ""], ["Hiking", "Next: the lake"]]) {
        const made = await api("POST", "createRoom", owner.token, { name, topic, preset: "public_chat" });
        ids[name] = made.room_id;
        for (const other of others) await api("POST", `join/${encodeURIComponent(made.room_id)}`, other.token);
    }
    const [chen, dora] = others;
    await say(owner, ids.Books, "I have the second volume now");
    await say(chen, ids.Hiking, "周六去湖边吗？天气很好 ☀️");
    await say(dora, ids.Garden, "The tomatoes are planted 🍅");
    const room = ids["Release 1.0"];
    await say(dora, room, "Good morning! Where are we?");
    await say(chen, room, formatted("Two things left", "<p>Two things left:</p><ul><li><del>the migration</del></li><li>the notes for <a href=\"https://matrix.to/#/" + owner.id + "\">" + "Alice" + "</a></li></ul>"));
    const code = await say(chen, room, formatted("cargo test", "<p>All green since last night:</p><pre><code class=\"language-sh\">$ make test\n1 204 tests run: 1 204 passed</code></pre>"));
    await say(owner, room, "The notes are nearly done, I only miss the part about calls.");
    await say(owner, room, "Tonight, I think.");
    await api("PUT", `rooms/${encodeURIComponent(room)}/send/m.reaction/t${transaction++}`, dora.token, {
        "m.relates_to": { rel_type: "m.annotation", event_id: code.event_id, key: "🎉" },
    });
    await api("PUT", `rooms/${encodeURIComponent(room)}/send/m.reaction/t${transaction++}`, owner.token, {
        "m.relates_to": { rel_type: "m.annotation", event_id: code.event_id, key: "🎉" },
    });
    await say(dora, room, { body: "Wonderful", "m.relates_to": { "m.in_reply_to": { event_id: code.event_id } } });
    return ids;
}

async function look(person, { theme, language }, size) {
    await person.page.setViewportSize(size);
    await person.page.evaluate(([theme, language]) => {
        localStorage.setItem("kith.theme", theme);
        localStorage.setItem("kith.language", language);
    }, [theme, language]);
    await person.page.reload();
    await person.page.locator(".app").waitFor();
}

async function shoot(person, name, { theme, language }, size) {
    await person.page.waitForTimeout(350);
    await person.page.screenshot({ path: `${folder}/${name}-${theme}-${language}${size === NARROW ? "-narrow" : ""}.png` });
}

const [owner, chen, dora] = [await account("alice", "Alice"), await account("chen", "陈晨"), await account("dora", "Dora Green")];
const ids = await rooms(owner, [chen, dora]);
const options = { reducedMotion: "reduce" };

const guest = await Person.at(chromium, url, options);
await guest.button("Create an account").waitFor();
for (const size of [WIDE, NARROW]) {
    for (const one of LOOKS) {
        await look(guest, one, size);
        await guest.page.locator("#user").waitFor();
        await shoot(guest, "sign-in", one, size);
        await guest.page.locator(".server-line button").click();
        await guest.page.locator("#server").waitFor();
        await shoot(guest, "server", one, size);
    }
}
await guest.context.close();
saw("signing in");

const alice = await Person.at(chromium, url, options);
await alice.signIn("alice", PASSWORD);
const bob = await Person.at(chromium, url, options);
await bob.register("bob", PASSWORD);
await bob.ask("alice");
const asking = await Person.at(chromium, url, options);
await asking.signIn("dora", PASSWORD);
await alice.accept();
await bob.say("Hi Alice! Have you seen the sky tonight?");
await bob.attach([{ name: "sky.png", mimeType: "image/png", buffer: await picture(chromium) }]);
await alice.seesPicture();
await alice.say("Wonderful. I am coming out 🌅");
await alice.say("🎉🎉");
await bob.act("I am coming out", "React with ❤️");
await asking.ask("alice");
await bob.button("Close", bob.page.locator(".details")).click().catch(() => {});
await alice.openDetails();
await alice.button("Verify this person").click();
await bob.button("Start").click();
await Promise.all([alice.signs(), bob.signs()]);
for (const one of LOOKS) {
    // The dialog would not survive a reload: theme and language change in place.
    await alice.page.evaluate(([theme, language]) => {
        document.documentElement.dataset.theme = theme;
        document.querySelector(".app").dataset.theme = theme;
    }, [one.theme, one.language]);
    if (one.language === "en") await shoot(alice, "verify", one, WIDE);
}
await alice.button("They are the same").click();
await bob.button("They are the same").click();
await alice.button("Done").click();
await bob.button("Done").click();
saw("verified");

const room = (name) => alice.page.locator(".room-item", { hasText: name });
for (const size of [WIDE, NARROW]) {
    for (const one of LOOKS) {
        await alice.page.goto(url);
        await look(alice, one, size);
        await room("Release 1.0").waitFor();
        await shoot(alice, "rooms", one, size);
        await room("Release 1.0").click();
        await alice.sees("Wonderful");
        await shoot(alice, "room", one, size);
        if (size === WIDE) {
            await alice.page.locator(".fold button").last().click();
            await shoot(alice, "changes", one, size);
        }
        await alice.page.locator(".room-head .icon-button").last().click();
        await alice.page.locator(".details .person").first().waitFor();
        await shoot(alice, "details", one, size);
        await alice.page.locator(".details-head .icon-button").click();
        await alice.page.goto(url);
        await room("bob").click();
        await alice.seesPicture();
        if (size === WIDE) {
            await alice.message("coming out").hover();
            await shoot(alice, "chat", one, size);
            await alice.page.locator(".composer .menu-anchor .icon-button").click();
            await shoot(alice, "emoji", one, size);
            await alice.page.keyboard.press("Escape");
            await alice.page.locator(".message .picture").last().click();
            await alice.page.locator(".viewer img").waitFor();
            await shoot(alice, "viewer", one, size);
            await alice.page.keyboard.press("Escape");
        } else {
            await shoot(alice, "chat", one, size);
        }
        await alice.page.goto(url);
        const head = alice.page.locator(".sidebar-head > .icon-button, .sidebar-head .menu-anchor > .icon-button");
        await head.nth(2).click();
        for (const [index, tab] of ["profile", "appearance", "security", "devices"].entries()) {
            await alice.page.locator(".settings nav button").nth(index).click();
            await alice.page.waitForTimeout(400);
            await shoot(alice, `settings-${tab}`, one, size);
        }
        await alice.page.keyboard.press("Escape");
        await head.nth(0).click();
        await alice.page.locator("#person").fill("d");
        await alice.page.locator("#find-people .person").first().waitFor();
        await shoot(alice, "find-people", one, size);
        await alice.page.keyboard.press("Escape");
        await head.nth(1).click();
        await alice.page.locator(".menu button").first().click();
        await alice.page.locator("#room-name").fill("Choir");
        await shoot(alice, "create-room", one, size);
        await alice.page.keyboard.press("Escape");
    }
}
saw("every view");

const other = await alice.tab();
for (const one of LOOKS) {
    await look(other, one, WIDE);
    await other.page.locator(".elsewhere h2").waitFor();
    await shoot(other, "other-tab", one, WIDE);
}
saw("another tab");
await chromium.close();
saw("end");
