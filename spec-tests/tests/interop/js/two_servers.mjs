// People of two servers, whose URLs are the arguments (Kith's, Synapse's), meet in encrypted rooms with
// matrix-js-sdk: in one of each server. Devices that come later read what is said later.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import * as people from "./people.mjs";
import { openSecretRoom, saw, until } from "./people.mjs";

const [kith, synapse] = process.argv.slice(2);

const register = async (url, username) =>
    people.startWithEncryption(url, await people.register(url, username));
const logIn = async (url, userId) =>
    people.startWithEncryption(url, await people.logIn(url, userId));

// Says it, and waits until all others have read it.
async function say(from, roomId, body, readers) {
    const { event_id: eventId } = await from.sendTextMessage(roomId, body);
    for (const client of readers) {
        const changes = [
            [client, sdk.RoomEvent.Timeline],
            [client, sdk.MatrixEventEvent.Decrypted],
        ];
        const event = await until(`${body} for ${client.getUserId()}`, changes, () => {
            const event = client.getRoom(roomId)?.findEventById(eventId);
            return event && event.getType() === "m.room.message" && event;
        });
        assert.equal(event.getWireType(), "m.room.encrypted", "it went over the wire encrypted");
        assert.equal(event.isDecryptionFailure(), false);
        assert.equal(event.getContent().body, body);
    }
}

async function devices(client, userId) {
    const all = await client.getCrypto().getUserDeviceInfo([userId], false);
    return all.get(userId) ?? new Map();
}

// Waits until a client knows, by its syncs alone, whether a device is there.
async function knows(client, other, isThere) {
    await until("a change of devices", [[client, CryptoEvent.DevicesUpdated]], async () => {
        const known = await devices(client, other.getUserId());
        return known.has(other.getDeviceId()) === isThere;
    });
}

async function meet(side, [hostUrl, host], [guestUrl, guest]) {
    const tell = (what) => saw(`${side}: ${what}`);
    const roomId = await openSecretRoom(host, guest);
    tell("room");
    await say(host, roomId, "a secret", [guest]);
    tell("decrypted");
    await say(guest, roomId, "another", [host]);
    tell("answered");

    const all = [host, guest];
    for (const [who, url, owner, other] of [
        ["guest", guestUrl, guest, host],
        ["host", hostUrl, host, guest],
    ]) {
        const tablet = await logIn(url, owner.getUserId());
        await until("the room", [[tablet, sdk.ClientEvent.Sync]], () => tablet.getRoom(roomId));
        await knows(other, tablet, true);
        await knows(owner, tablet, true);
        tell(`new device of the ${who}`);
        all.push(tablet);
        await say(other, roomId, `to the new device of the ${who}`, all.filter((c) => c !== other));
        await say(tablet, roomId, `from the new device of the ${who}`, all.filter((c) => c !== tablet));
        tell("read by all");
    }
    const gone = all.splice(2);
    for (const tablet of gone) {
        tablet.stopClient();
        await tablet.logout();
        for (const client of all) await knows(client, tablet, false);
    }
    await say(host, roomId, "for two again", [guest]);
    await say(guest, roomId, "yes", [host]);
    tell("without the device that left");
}

people.tell(async () => {
    const alice = await register(kith, "ada");
    const bob = await register(synapse, "ben");
    await meet("kith", [kith, alice], [synapse, bob]);
    await meet("synapse", [synapse, bob], [kith, alice]);
});
