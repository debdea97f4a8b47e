"""Ann flashes and beeps at the same moments, once a second."""

import asyncio
import time

import numpy as np
from livekit import rtc

from people import HEIGHT, RATE, WIDTH, Person, main

BEEP = 0.3


async def flash(ann, moments):
    """Publishes both; `moments` are when flashes were painted (`time.monotonic`)."""
    voice = rtc.AudioSource(RATE, 1, queue_size_ms=100)
    camera = rtc.VideoSource(WIDTH, HEIGHT)
    local = ann.room.local_participant
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
    await local.publish_track(rtc.LocalAudioTrack.create_audio_track("mic", voice), options)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
    await local.publish_track(rtc.LocalVideoTrack.create_video_track("camera", camera), options)
    pushed = 0

    async def play():
        nonlocal pushed
        length = RATE // 100
        while True:
            at = (np.arange(length) + pushed) / RATE
            samples = np.where(at % 1 < BEEP, np.sin(2 * np.pi * 440 * at) * 12000, 0)
            samples = samples.astype(np.int16)
            await voice.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, length))
            pushed += length

    async def paint():
        red = np.full((HEIGHT, WIDTH, 4), (200, 30, 30, 255), dtype=np.uint8).tobytes()
        white = np.full((HEIGHT, WIDTH, 4), 255, dtype=np.uint8).tobytes()
        was = False
        while True:
            # What is heard now is what was pushed and does not wait any more.
            position = pushed / RATE - voice.queued_duration
            flashes = position % 1 < BEEP
            if flashes and not was:
                moments.append(time.monotonic())
            was = flashes
            pixels = white if flashes else red
            camera.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, pixels))
            await asyncio.sleep(1 / 30)

    ann.tasks += [asyncio.create_task(play()), asyncio.create_task(paint())]


async def scenario(url, ann, seconds):
    ann = Person(url, ann)
    await ann.join()
    await flash(ann, [])
    await asyncio.sleep(float(seconds))
    await ann.leave()


if __name__ == "__main__":
    main(scenario)
