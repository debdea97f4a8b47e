// People of two servers, whose URLs are the arguments (Kith's, Synapse's), meet in encrypted rooms with
// matrix-js-sdk: in one of each server. Devices that come later read what is said later.
//
// Prints a JSON line for everything that was seen; ends with an error as soon as something is not as
// the specification says.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const silence = () => {};
const logger = { trace: silence, debug: silence, info: silence, warn: silence, error: silence };
logger.getChild = () => logger;

const PASSWORD = "correct horse battery staple";
const PATIENCE_MS = 60_000;
const [kith, synapse] = process.argv.slice(2);

function saw(what) {
    console.log(JSON.stringify({ saw: what }));
}

// Resolves as soon as `look()` gives something; looks again at every event of the emitters, and now and
// then: not everything that the SDK learns is an event.
async function until(what, emitters, look) {
    const { promise, resolve, reject } = Promise.withResolvers();
    const tooLate = setTimeout(() => reject(new Error(`never seen: ${what}`)), PATIENCE_MS);
    const again = async () => {
        try {
            const found = await look();
            if (found) resolve(found);
        } catch (error) {
            reject(error);
        }
    };
    for (const [emitter, event] of emitters) emitter.on(event, again);
    const nowAndThen = setInterval(again, 500);
    again();
    try {
        return await promise;
    } finally {
        clearTimeout(tooLate);
        clearInterval(nowAndThen);
        for (const [emitter, event] of emitters) emitter.off(event, again);
    }
}

async function start(url, session) {
    const client = sdk.createClient({
        baseUrl: url,
        logger,
        userId: session.user_id,
        accessToken: session.access_token,
        deviceId: session.device_id,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true });
    await until("first sync", [[client, sdk.ClientEvent.Sync]], () => client.isInitialSyncComplete());
    return client;
}

async function register(url, username) {
    const anonymous = sdk.createClient({ baseUrl: url, logger });
    const request = { username, password: PASSWORD };
    const flows = await anonymous.registerRequest(request).catch((error) => error);
    assert.equal(flows.httpStatus, 401, String(flows));
    const auth = { type: "m.login.dummy", session: flows.data.session };
    return start(url, await anonymous.registerRequest({ ...request, auth }));
}

async function logIn(url, userId) {
    const anonymous = sdk.createClient({ baseUrl: url, logger });
    const identifier = { type: "m.id.user", user: userId };
    const login = { type: "m.login.password", identifier, password: PASSWORD };
    return start(url, await anonymous.loginRequest(login));
}

async function openSecretRoom(host, guest) {
    const { room_id: roomId } = await host.createRoom({
        preset: "private_chat",
        invite: [guest.getUserId()],
        initial_state: [
            {
                type: "m.room.encryption",
                state_key: "",
                content: { algorithm: "m.megolm.v1.aes-sha2" },
            },
        ],
    });
    await until("invite", [[guest, sdk.ClientEvent.Room]], () => guest.getRoom(roomId));
    await guest.joinRoom(roomId);
    for (const client of [host, guest]) await isThere(client, roomId, guest.getUserId());
    return roomId;
}

async function isThere(client, roomId, userId) {
    const joined = () => client.getRoom(roomId)?.getMember(userId)?.membership === "join";
    const changes = [
        [client, sdk.RoomMemberEvent.Membership],
        [client, sdk.ClientEvent.Sync],
    ];
    await until("both are there", changes, joined);
    assert.equal(await client.getCrypto().isEncryptionEnabledInRoom(roomId), true);
}

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

try {
    const alice = await register(kith, "ada");
    const bob = await register(synapse, "ben");
    await meet("kith", [kith, alice], [synapse, bob]);
    await meet("synapse", [synapse, bob], [kith, alice]);
    saw("end");
} catch (error) {
    console.error(error);
    process.exitCode = 1;
} finally {
    // Other clients' timers and long polls would keep the process.
    process.exit();
}
