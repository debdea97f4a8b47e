// Two people who use matrix-js-sdk with its Rust encryption meet in an encrypted room on the server
// whose URL is the argument; one of them reads the history on a new device, from the key backup.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import {
    CryptoEvent,
    VerificationPhase,
    VerificationRequestEvent,
    VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import * as people from "./people.mjs";
import { saw, until } from "./people.mjs";

const url = process.argv[2];

// A device that keeps the key of its secret storage there.
function start(session, secretStorageKey = {}) {
    const cryptoCallbacks = {
        getSecretStorageKey: async ({ keys }) => {
            const id = Object.keys(keys)[0];
            return secretStorageKey.bytes ? [id, secretStorageKey.bytes] : null;
        },
        cacheSecretStorageKey: (_id, _info, bytes) => (secretStorageKey.bytes = bytes),
    };
    return people.startWithEncryption(url, session, { cryptoCallbacks });
}

async function register(username, secretStorageKey) {
    const session = await people.register(url, username);
    const client = await start(session, secretStorageKey);
    saw("registered", { user_id: session.user_id });
    return client;
}

const logIn = async (userId, secretStorageKey) =>
    start(await people.logIn(url, userId), secretStorageKey);

async function openSecretRoom(alice, bob) {
    const roomId = await people.openSecretRoom(alice, bob);
    saw("secret room", { room_id: roomId });
    return roomId;
}

// The text of an event, once the client could read it.
async function read(client, roomId, eventId) {
    const changes = [
        [client, sdk.RoomEvent.Timeline],
        [client, sdk.MatrixEventEvent.Decrypted],
    ];
    const event = await until(`event ${eventId}`, changes, () => {
        const event = client.getRoom(roomId)?.findEventById(eventId);
        return event && event.getType() === "m.room.message" && event;
    });
    assert.equal(event.getWireType(), "m.room.encrypted", "it went over the wire encrypted");
    assert.equal(event.isDecryptionFailure(), false);
    return event.getContent().body;
}

async function chat(alice, bob, roomId) {
    const { event_id: secret } = await alice.sendTextMessage(roomId, "a secret");
    assert.equal(await read(bob, roomId, secret), "a secret");
    saw("decrypted");
    const { event_id: answer } = await bob.sendTextMessage(roomId, "another");
    assert.equal(await read(alice, roomId, answer), "another");
    saw("answered");
    return [secret, answer];
}

async function backUp(alice, secretStorageKey) {
    const crypto = alice.getCrypto();
    // The first cross-signing keys need no password.
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async (makeRequest) => makeRequest(null),
    });
    assert.equal(await crypto.isCrossSigningReady(), true);
    saw("cross-signing");

    const key = await crypto.createRecoveryKeyFromPassphrase();
    secretStorageKey.bytes = key.privateKey;
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => key,
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
    });
    assert.equal(await crypto.isSecretStorageReady(), true);
    saw("secret storage");

    // The SDK sends up what it has by and by.
    await until("backup", [[alice, CryptoEvent.KeyBackupSessionsRemaining]], async () => {
        // Not the SDK's idea of it, which is as old as the backup.
        const info = await alice.http.authedRequest(sdk.Method.Get, "/room_keys/version");
        return info.count >= 2;
    });
    saw("backed up");
}

// They compare emoji.
async function verify(alice, bob, roomId) {
    await bob.getCrypto().bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async (makeRequest) => makeRequest(null),
    });
    assert.equal(await alice.getCrypto().userHasCrossSigningKeys(bob.getUserId(), true), true);
    const asked = new Promise((resolve) =>
        bob.once(CryptoEvent.VerificationRequestReceived, resolve),
    );
    const ours = await alice.getCrypto().requestVerificationDM(bob.getUserId(), roomId);
    const theirs = await asked;
    await theirs.accept();
    const changed = (request) => [[request, VerificationRequestEvent.Change]];
    await until("accepted", changed(ours), () => ours.phase === VerificationPhase.Ready);
    const started = until("started", changed(theirs), () => theirs.verifier);
    const verifiers = [await ours.startVerification("m.sas.v1"), await started];
    const shown = verifiers.map(
        (verifier) => new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve)),
    );
    const verified = verifiers.map((verifier) => verifier.verify());
    const [here, there] = await Promise.all(shown);
    assert.deepEqual(here.sas.emoji, there.sas.emoji);
    await Promise.all([here.confirm(), there.confirm()]);
    await Promise.all(verified);
    for (const [one, other] of [[alice, bob], [bob, alice]]) {
        const changes = [
            [one, CryptoEvent.UserTrustStatusChanged],
            [one, CryptoEvent.DevicesUpdated],
            [one, sdk.ClientEvent.Sync],
        ];
        await until("the other is verified", changes, async () => {
            const status = await one.getCrypto().getUserVerificationStatus(other.getUserId());
            return status.isCrossSigningVerified();
        });
    }
    saw("verified by emoji");
}

async function restore(alice, bob, roomId, sent, secretStorageKey) {
    const tablet = await logIn(alice.getUserId(), secretStorageKey);
    const crypto = tablet.getCrypto();
    await until("the room", [[tablet, sdk.ClientEvent.Sync]], () => tablet.getRoom(roomId));
    // The SDK must have asked for the public keys before it takes the private ones.
    assert.equal(await crypto.userHasCrossSigningKeys(alice.getUserId(), true), true);
    await crypto.bootstrapCrossSigning({});
    const changes = [
        [tablet, CryptoEvent.DevicesUpdated],
        [tablet, sdk.ClientEvent.Sync],
    ];
    await until("the new device signed itself", changes, async () => {
        const [user, device] = [alice.getUserId(), tablet.getDeviceId()];
        const status = await crypto.getDeviceVerificationStatus(user, device);
        return status?.crossSigningVerified;
    });
    saw("second device");

    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    const restored = await crypto.restoreKeyBackup();
    assert.ok(restored.imported >= 2, JSON.stringify(restored));
    assert.equal(await read(tablet, roomId, sent[0]), "a secret");
    assert.equal(await read(tablet, roomId, sent[1]), "another");
    saw("history restored", { keys: restored.imported });

    const devices = async () => {
        const all = await bob.getCrypto().getUserDeviceInfo([alice.getUserId()], true);
        return all.get(alice.getUserId())?.has(tablet.getDeviceId());
    };
    await until("the new device", [[bob, CryptoEvent.DevicesUpdated]], devices);
    const { event_id: last } = await bob.sendTextMessage(roomId, "for both devices");
    assert.equal(await read(alice, roomId, last), "for both devices");
    assert.equal(await read(tablet, roomId, last), "for both devices");
    saw("both devices");
}

people.tell(async () => {
    const secretStorageKey = {};
    const alice = await register("alice", secretStorageKey);
    const bob = await register("bob");
    const roomId = await openSecretRoom(alice, bob);
    const sent = await chat(alice, bob, roomId);
    await backUp(alice, secretStorageKey);
    await verify(alice, bob, roomId);
    await restore(alice, bob, roomId, sent, secretStorageKey);
});
