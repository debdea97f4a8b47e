// node synapse.mjs URL HOMESERVER PASSWORD PASSWORD: the same client, served by Kith, with accounts on another server.
import { Person, browser, saw } from "./client.mjs";

const [url, homeserver, alicesPassword, bobsPassword] = process.argv.slice(2);
const chromium = await browser();
const [alice, bob] = [await Person.at(chromium, url), await Person.at(chromium, url)];
for (const [person, name, password] of [[alice, "alice", alicesPassword], [bob, "bob", bobsPassword]]) {
    await person.chooseServer(homeserver);
    await person.signIn(name, password);
}
saw("signed in");
// Synapse's directory has those with whom one shares a room; a whole user ID finds anybody.
await alice.ask(`@bob:${new URL(homeserver).hostname}`);
await bob.accept();
await alice.say("Hello from Kith's client");
await bob.sees("Hello from Kith's client");
await bob.say("And back");
await alice.sees("And back");
saw("encrypted chat");
alice.done();
bob.done();
await chromium.close();
saw("end");
