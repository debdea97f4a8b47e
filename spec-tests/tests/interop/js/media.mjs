// Two people who use matrix-js-sdk (as Element does) exchange files on the server whose URL is the
// argument: a picture with its thumbnail, and an encrypted attachment.

import assert from "node:assert/strict";
import { createHash, randomBytes, webcrypto } from "node:crypto";
import { crc32, deflateSync } from "node:zlib";
import * as people from "./people.mjs";
import { saw } from "./people.mjs";

const url = process.argv[2];

async function register(username) {
    const session = await people.register(url, username);
    saw("registered", { user_id: session.user_id });
    return people.clientOf(url, session);
}

// What a browser gets for a URI, signed in as since v1.11.
async function fetchFile(client, mxc, ...size) {
    const [width, height, method] = size;
    const http = client.mxcUrlToHttp(mxc, width, height, method, false, true, true);
    assert.ok(http.includes("/_matrix/client/v1/media/"), http);
    const headers = { Authorization: `Bearer ${client.getAccessToken()}` };
    const answer = await fetch(http, { headers });
    assert.equal(answer.status, 200, `${http}: ${answer.status}`);
    return { type: answer.headers.get("content-type"), bytes: Buffer.from(await answer.arrayBuffer()) };
}

// A picture of one colour for each pixel, as PNG has it.
function png(width, height) {
    const chunk = (kind, data) => {
        const body = Buffer.concat([Buffer.from(kind), data]);
        const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
        length.writeUInt32BE(data.length);
        check.writeUInt32BE(crc32(body));
        return Buffer.concat([length, body, check]);
    };
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 2, 0, 0, 0], 8);
    const rows = Array.from({ length: height }, (_, y) => {
        const pixels = Array.from({ length: width }, (_, x) => [x & 255, y & 255, (x * y) & 255]);
        return Buffer.from([0, ...pixels.flat()]);
    });
    const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    const data = chunk("IDAT", deflateSync(Buffer.concat(rows)));
    return Buffer.concat([signature, chunk("IHDR", head), data, chunk("IEND", Buffer.alloc(0))]);
}

const base64 = (bytes) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");

// https://spec.matrix.org/latest/client-server-api/#sending-encrypted-attachments
async function encrypt(plaintext) {
    const counter = Buffer.concat([randomBytes(8), Buffer.alloc(8)]);
    const key = await webcrypto.subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
    const algorithm = { name: "AES-CTR", counter, length: 64 };
    const ciphertext = Buffer.from(await webcrypto.subtle.encrypt(algorithm, key, plaintext));
    const hashes = { sha256: base64(createHash("sha256").update(ciphertext).digest()) };
    const exported = await webcrypto.subtle.exportKey("jwk", key);
    return { ciphertext, file: { v: "v2", key: exported, iv: base64(counter), hashes } };
}

async function decrypt(ciphertext, file) {
    assert.equal(base64(createHash("sha256").update(ciphertext).digest()), file.hashes.sha256);
    const key = await webcrypto.subtle.importKey("jwk", file.key, "AES-CTR", false, ["decrypt"]);
    const algorithm = { name: "AES-CTR", counter: Buffer.from(file.iv, "base64"), length: 64 };
    return Buffer.from(await webcrypto.subtle.decrypt(algorithm, key, ciphertext));
}

const [alice, bob] = [await register("alice"), await register("bob")];
const { room_id: room } = await alice.createRoom({ preset: "public_chat" });
await bob.joinRoom(room);

const config = await alice.getMediaConfig(true);
assert.ok(config["m.upload.size"] > 1_000_000);
saw("media config");

const picture = png(640, 480);
let progress = 0;
const { content_uri: mxc } = await alice.uploadContent(picture, {
    name: "picture.png",
    type: "image/png",
    progressHandler: ({ loaded }) => {
        progress = loaded;
    },
});
const info = { mimetype: "image/png", size: picture.length, w: 640, h: 480 };
const message = { msgtype: "m.image", body: "picture.png", url: mxc, info };
const { event_id: sent } = await alice.sendMessage(room, message);
const received = (await bob.fetchRoomEvent(room, sent)).content;
const whole = await fetchFile(bob, received.url);
assert.ok(whole.bytes.equals(picture));
assert.equal(whole.type, "image/png");
saw("picture", { progress });

const small = await fetchFile(bob, received.url, 96, 96, "crop");
assert.ok(small.type.startsWith("image/"), small.type);
assert.ok(small.bytes.length > 0);
saw("thumbnail", { type: small.type, bytes: small.bytes.length });

const secret = randomBytes(300_000);
const { ciphertext, file } = await encrypt(secret);
const uploaded = await alice.uploadContent(ciphertext, { includeFilename: false, type: "application/octet-stream" });
const attachment = { msgtype: "m.file", body: "secret.bin", file: { ...file, url: uploaded.content_uri } };
const { event_id: hidden } = await alice.sendMessage(room, attachment);
const found = (await bob.fetchRoomEvent(room, hidden)).content.file;
assert.ok((await decrypt((await fetchFile(bob, found.url)).bytes, found)).equals(secret));
saw("encrypted attachment");

await alice.setAvatarUrl(mxc);
assert.equal((await bob.getProfileInfo(alice.getUserId())).avatar_url, mxc);
saw("avatar");
saw("end");
