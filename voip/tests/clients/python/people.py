"""People in a call: what the scenarios beside this file have in common.

Each publishes a picture of one colour and a tone of one pitch, so that whoever receives them can tell
that it is these frames that were decoded, and whose they are.
"""

import asyncio
import json
import sys
import time

import numpy as np
from livekit import rtc

RATE = 48000
WIDTH, HEIGHT = 640, 360


def saw(what, **more):
    """Tells the test."""
    print(json.dumps({"saw": what, **more}), flush=True)


class Person:
    def __init__(self, url, token, encrypted=False):
        self.url, self.token = url, token
        self.room = rtc.Room()
        self.tracks = {}
        self.changed = asyncio.Event()
        self.data = []
        self.key = b"a secret that the relay never sees" if encrypted else None
        self.tasks = []
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("track_unsubscribed", self._unsubscribed)
        self.room.on("data_received", self._data)
        self.speakers = set()
        self.room.on("active_speakers_changed", self._speakers)
        for event in (
            "participant_connected", "participant_disconnected", "track_muted", "track_unmuted",
            "disconnected", "connection_quality_changed", "reconnected",
            "participant_metadata_changed", "participant_attributes_changed",
        ):
            self.room.on(event, lambda *_: self.changed.set())

    async def join(self, auto_subscribe=True):
        options = rtc.RoomOptions(auto_subscribe=auto_subscribe)
        if self.key:
            keys = rtc.KeyProviderOptions(shared_key=self.key)
            options.encryption = rtc.E2EEOptions(key_provider_options=keys)
        started = time.monotonic()
        await self.room.connect(self.url, self.token, options)
        return time.monotonic() - started

    def _subscribed(self, track, publication, participant):
        self.tracks[(participant.identity, publication.source)] = track
        self.changed.set()

    def _unsubscribed(self, track, publication, participant):
        self.tracks.pop((participant.identity, publication.source), None)
        self.changed.set()

    def _speakers(self, speakers):
        self.speakers = {speaker.identity for speaker in speakers}
        self.changed.set()

    def _data(self, packet):
        self.data.append((packet.participant and packet.participant.identity, packet.data, packet.topic))
        self.changed.set()

    async def until(self, condition, what, seconds=20):
        """Waits for something that events bring about."""
        deadline = time.monotonic() + seconds
        while True:
            self.changed.clear()
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{self.room.local_participant.identity} waits in vain: {what}")
            try:
                await asyncio.wait_for(self.changed.wait(), min(left, 0.25))
            except asyncio.TimeoutError:
                pass

    async def track(self, identity, source):
        return await self.until(lambda: self.tracks.get((identity, source)), f"track of {identity}")

    async def publish(self, track, options):
        publication = await self.room.local_participant.publish_track(track, options)
        # The client negotiates 150 ms after it was last asked to; what it is given in that very moment is now and
        # then in no offer.
        await asyncio.sleep(0.3)
        return publication

    async def show(
        self, colour, codec=rtc.VideoCodec.VP8, simulcast=False, size=(WIDTH, HEIGHT), lively=False
    ):
        """Publishes a picture of one colour (red, green, blue), which moves a little, or a lot."""
        source = rtc.VideoSource(*size)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA, video_codec=codec, simulcast=simulcast
        )
        self.tasks.append(asyncio.create_task(paint(source, colour, size, lively)))
        return await self.publish(track, options)

    async def sing(self, pitch):
        """Publishes a tone of `pitch` hertz."""
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        self.tasks.append(asyncio.create_task(play(source, pitch)))
        return await self.publish(track, options)

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await self.room.disconnect()


async def paint(source, colour, size, lively):
    width, height = size
    # A pattern that moves costs about as many bits as a real picture; its middle is the colour.
    blocks = (-(-height // 8), width // 4, 1)
    pattern = np.random.default_rng(1).integers(-25, 25, blocks, dtype=np.int16)
    pattern = pattern.repeat(8, axis=0)[:height].repeat(8, axis=1)
    pattern = np.clip(pattern + np.array(colour), 0, 255).astype(np.uint8)
    frame = np.zeros((height, width, 4), dtype=np.uint8)
    step, start = 0, time.monotonic()
    while True:
        frame[:, :] = (*colour, 255)
        if lively:
            offset = step * 4 % width
            frame[:, :, :3] = pattern[:, offset:offset + width]
        # Something that moves, so that frames are not all alike.
        left = step * 8 % (width - 32)
        frame[8:24, left:left + 32] = 255
        source.capture_frame(
            rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, frame.tobytes()),
            timestamp_us=int(step * 1e6 / 20),
        )
        step += 1
        await asyncio.sleep(max(0, start + step / 20 - time.monotonic()))


async def play(source, pitch):
    step, length = 0, RATE // 50
    while True:
        at = (np.arange(length) + step * length) / RATE
        samples = (np.sin(2 * np.pi * pitch * at) * 12000).astype(np.int16)
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, length))
        step += 1


async def watch(track, colour, frames=10, seconds=20):
    """Takes frames until `frames` of this colour were decoded. Returns their size and the longest gap."""
    stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA)
    seen, last, gap = 0, None, 0.0
    size = None
    try:
        async with asyncio.timeout(seconds):
            async for event in stream:
                frame = event.frame
                now = time.monotonic()
                if last is not None:
                    gap = max(gap, now - last)
                last = now
                pixels = np.frombuffer(frame.data, dtype=np.uint8).reshape(frame.height, frame.width, 4)
                middle = np.median(pixels[frame.height // 3:, :, :3].reshape(-1, 3), axis=0)
                if np.abs(middle - np.array(colour)).max() < 60:
                    seen += 1
                    size = (frame.width, frame.height)
                if seen >= frames:
                    return size, gap
    except TimeoutError:
        raise AssertionError(f"only {seen} of {frames} frames of {colour}") from None
    finally:
        await stream.aclose()
    raise AssertionError("the track ended")


def pitch_of(samples):
    """The loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * RATE / len(samples)


async def listen(track, pitch, seconds=20, parts=25):
    """Listens until `parts` pieces of sound were of this pitch. Returns the share of pieces with it."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=40)
    heard = total = 0
    try:
        async with asyncio.timeout(seconds):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
                total += 1
                if np.abs(samples).max() > 1000 and abs(pitch_of(samples) - pitch) < 60:
                    heard += 1
                if heard >= parts:
                    return heard / total
    except TimeoutError:
        raise AssertionError(f"only {heard} of {parts} pieces at {pitch} Hz, of {total}") from None
    finally:
        await stream.aclose()
    raise AssertionError("the track ended")


def main(scenario):
    """Runs `scenario(url, *tokens)` with the arguments of the command line."""
    asyncio.run(scenario(*sys.argv[1:]))
    saw("end")
    # The client's own threads do not always let go of the process.
    sys.stdout.flush()
    import os
    os._exit(0)
