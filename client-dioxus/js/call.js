// Sound and pictures of a call, by LiveKit's own client. That is loaded when the first call begins, not before.
// The names in double braces are files of the bundle; they change with their content (client-dioxus/bundle).

let library;

/** The module of LiveKit, a global because it is an older kind of script. */
async function livekit() {
    library ??= import("./{{livekit.js}}");
    await library;
    return globalThis.LivekitClient;
}

/** What the person may choose from: `{ kind, id, label }`, `kind` as `audioinput` and `videoinput`. */
export async function devices() {
    const found = await navigator.mediaDevices.enumerateDevices();
    return found.filter((it) => it.deviceId).map(({ kind, deviceId, label }) => ({ kind, id: deviceId, label }));
}

/** Asks for the microphone and the camera, or for what of them there is. Names of devices are told after that. */
export async function permit() {
    for (const wanted of [{ audio: true, video: true }, { audio: true }, { video: true }]) {
        try {
            const stream = await navigator.mediaDevices.getUserMedia(wanted);
            stream.getTracks().forEach((track) => track.stop());
            return { microphone: wanted.audio === true, camera: wanted.video === true };
        } catch {
            // Perhaps there is only one of them, or only one is allowed.
        }
    }
    return { microphone: false, camera: false };
}

let previewed;

/** Shows a camera in a `<video>`; without an ID, the one that the browser likes. */
export async function preview(element, camera) {
    endPreview();
    const mine = (previewed = {});
    const video = { width: 640, height: 360, deviceId: camera || undefined };
    const stream = await navigator.mediaDevices.getUserMedia({ video });
    const place = document.getElementById(element);
    if (previewed !== mine || !place) return stream.getTracks().forEach((track) => track.stop());
    mine.stream = stream;
    place.srcObject = stream;
}

export function endPreview() {
    previewed?.stream?.getTracks().forEach((track) => track.stop());
    previewed = undefined;
}

/**
 * Enters. `key` are the bytes that this device encrypts with; without them nothing is encrypted.
 * `microphone` and `camera` are IDs of devices, empty for the usual one, undefined for none.
 */
export async function join(url, jwt, identity, key, keyIndex, microphone, camera) {
    const { BaseKeyProvider, Room, RoomEvent, VideoPresets } = await livekit();
    const call = new LiveCall();
    const options = {
        adaptiveStream: true,
        dynacast: true,
        audioCaptureDefaults: { deviceId: microphone || undefined },
        videoCaptureDefaults: { deviceId: camera || undefined, resolution: VideoPresets.h720.resolution },
    };
    if (key) {
        // Each has a key of their own. The numbers are those of Element Call.
        call.keys = new BaseKeyProvider({ ratchetWindowSize: 10, keyringSize: 256 });
        call.worker = new Worker(new URL("./{{livekit-e2ee.js}}", import.meta.url));
        options.e2ee = { keyProvider: call.keys, worker: call.worker };
    }
    const room = (call.room = new Room(options));
    for (const event of CHANGES) room.on(RoomEvent[event], () => call.tell());
    room.on(RoomEvent.TrackSubscribed, (track) => track.kind === "audio" && call.hear(track));
    room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((it) => it.tagName === "AUDIO" && it.remove()));
    room.on(RoomEvent.Disconnected, () => call.end());
    try {
        if (key) {
            await call.setKey(identity, keyIndex, key);
            await room.setE2EEEnabled(true);
        }
        await room.connect(url, jwt);
    } catch (error) {
        call.end();
        throw error;
    }
    // A device that does not open keeps nobody out of the call.
    const on = async (enable) => enable.catch((error) => console.warn(`${error}`));
    if (microphone !== undefined) await on(room.localParticipant.setMicrophoneEnabled(true));
    if (camera !== undefined) await on(room.localParticipant.setCameraEnabled(true));
    call.tell();
    return call;
}

let farewell;

/**
 * The request by which the browser tells the room if the page goes in the middle of a call: `ask` gives method, URL,
 * body and token, or undefined. Without `ask` nothing is told.
 */
export function atTheEnd(ask) {
    removeEventListener("pagehide", farewell);
    farewell = ask && (() => {
        const [method, url, body, token] = ask() ?? [];
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        if (url) fetch(url, { method, headers, body, keepalive: true });
    });
    if (farewell) addEventListener("pagehide", farewell);
}

/** Everything after which the screen may have to change. */
const CHANGES = [
    "ActiveSpeakersChanged", "ConnectionStateChanged", "LocalTrackPublished", "LocalTrackUnpublished",
    "ParticipantConnected", "ParticipantDisconnected", "RecordingStatusChanged", "TrackMuted", "TrackPublished", "TrackSubscribed",
    "TrackUnmuted", "TrackUnpublished", "TrackUnsubscribed",
];

export class LiveCall {
    ended = false;
    #news = false;
    #asking;

    /** Resolves with the state as soon as it differs from the one told before; with undefined at the end. */
    async changed() {
        if (!this.#news && !this.ended) await new Promise((resolve) => (this.#asking = resolve));
        this.#news = false;
        return this.ended ? undefined : this.#state();
    }

    tell() {
        this.#news = true;
        this.#asking?.();
    }

    end() {
        this.ended = true;
        this.worker?.terminate();
        this.#asking?.();
    }

    #state() {
        const { localParticipant: own, remoteParticipants, state, isRecording: recorded } = this.room;
        const people = [own, ...remoteParticipants.values()];
        return { connected: state === "connected", recorded, tiles: people.flatMap((person) => this.#tiles(person, person === own)) };
    }

    /** A person with their camera, and each screen that they share. */
    #tiles(person, own) {
        const { identity, isSpeaking: speaking, isMicrophoneEnabled: microphone } = person;
        const seen = [...person.videoTrackPublications.values()].filter((it) => it.track && !it.isMuted);
        const track = (source) => seen.find((it) => it.source === source)?.trackSid;
        const tiles = [{ identity, own, speaking, microphone, screen: false, track: track("camera") }];
        const shared = track("screen_share");
        if (shared) tiles.unshift({ identity, own, speaking: false, microphone, screen: true, track: shared });
        return tiles;
    }

    async setKey(identity, index, bytes) {
        const key = await crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);
        this.keys?.onSetEncryptionKey(key, identity, index);
    }

    hear(track) {
        document.body.append(Object.assign(track.attach(), { hidden: true }));
    }

    /** Shows a track in a `<video>`. */
    show(element, track) {
        const people = [this.room.localParticipant, ...this.room.remoteParticipants.values()];
        const place = document.getElementById(element);
        if (place) people.forEach((person) => person.trackPublications.get(track)?.track?.attach(place));
    }

    async microphone(on) {
        await this.room.localParticipant.setMicrophoneEnabled(on);
        this.tell();
    }

    async camera(on) {
        await this.room.localParticipant.setCameraEnabled(on);
        this.tell();
    }

    async screen(on) {
        await this.room.localParticipant.setScreenShareEnabled(on);
        this.tell();
    }

    async leave() {
        await this.room.disconnect();
        document.querySelectorAll("body > audio").forEach((it) => it.remove());
        this.end();
    }
}
