// What all scripts here share that use matrix-js-sdk (as Element does): accounts, patience, and how they tell.
//
// A script prints a JSON line for everything that was seen; it ends with an error as soon as something is not as
// the specification says.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";

const silence = () => {};
export const logger = { trace: silence, debug: silence, info: silence, warn: silence, error: silence };
logger.getChild = () => logger;

export const PASSWORD = "correct horse battery staple";
const PATIENCE_MS = 60_000;

export function saw(what, details = {}) {
    console.log(JSON.stringify({ saw: what, ...details }));
}

// Runs the story, which ends the process.
export async function tell(story) {
    try {
        await story();
        saw("end");
    } catch (error) {
        console.error(error);
        process.exitCode = 1;
    } finally {
        // Clients' timers and long polls would keep the process.
        process.exit();
    }
}

// Resolves as soon as `look()` gives something; looks again at every event of the emitters, and now and
// then: not everything that the SDK learns is an event.
export async function until(what, emitters, look) {
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

// The session of somebody new.
export async function register(url, username) {
    const anonymous = sdk.createClient({ baseUrl: url, logger });
    const request = { username, password: PASSWORD, initial_device_display_name: "js" };
    const flows = await anonymous.registerRequest(request).catch((error) => error);
    assert.equal(flows.httpStatus, 401, String(flows));
    assert.ok(flows.data.flows.length > 0);
    const auth = { type: "m.login.dummy", session: flows.data.session };
    return anonymous.registerRequest({ ...request, auth });
}

// The session of a new device.
export async function logIn(url, userId) {
    const anonymous = sdk.createClient({ baseUrl: url, logger });
    const identifier = { type: "m.id.user", user: userId };
    return anonymous.loginRequest({ type: "m.login.password", identifier, password: PASSWORD });
}

export function clientOf(url, session, options = {}) {
    return sdk.createClient({
        baseUrl: url,
        logger,
        userId: session.user_id,
        accessToken: session.access_token,
        deviceId: session.device_id,
        ...options,
    });
}

export async function start(client, options = {}) {
    await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, ...options });
    await until("first sync", [[client, sdk.ClientEvent.Sync]], () => client.isInitialSyncComplete());
    return client;
}

// A device with encryption, which has synced once.
export async function startWithEncryption(url, session, options = {}) {
    const client = clientOf(url, session, options);
    await client.initRustCrypto({ useIndexedDB: false });
    return start(client);
}

// The ID of an encrypted room with both in it.
export async function openSecretRoom(host, guest) {
    const encryption = {
        type: "m.room.encryption",
        state_key: "",
        content: { algorithm: "m.megolm.v1.aes-sha2" },
    };
    const { room_id: roomId } = await host.createRoom({
        preset: "private_chat",
        invite: [guest.getUserId()],
        initial_state: [encryption],
    });
    await until("invite", [[guest, sdk.ClientEvent.Room]], () => guest.getRoom(roomId));
    await guest.joinRoom(roomId);
    for (const client of [host, guest]) await isThere(client, roomId, guest.getUserId());
    return roomId;
}

// Waits until the client knows that the user is in the encrypted room.
async function isThere(client, roomId, userId) {
    const joined = () => client.getRoom(roomId)?.getMember(userId)?.membership === "join";
    const changes = [
        [client, sdk.RoomMemberEvent.Membership],
        [client, sdk.ClientEvent.Sync],
    ];
    await until("both are there", changes, joined);
    assert.equal(await client.getCrypto().isEncryptionEnabledInRoom(roomId), true);
}
