"""Ann sends, Bob watches and listens for a while: how much of it was good?"""

import asyncio
import time

from livekit import rtc
import numpy as np

from people import RATE, Person, main, saw, watch

RED = (200, 30, 30)
SECONDS = 15


async def freezes(track):
    """Decoded frames, gaps between them above half a second, and the longest gap."""
    stream, last, count, frames, longest = rtc.VideoStream(track), None, 0, 0, 0
    end = time.monotonic() + SECONDS
    async for _ in stream:
        now = time.monotonic()
        frames += 1
        if last is not None:
            count += now - last > 0.5
            longest = max(longest, now - last)
        last = now
        if now > end:
            break
    await stream.aclose()
    return frames, count, longest


async def sound(track, pitch):
    """The share of pieces of sound that are not silent and of this pitch."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=40)
    good = total = 0
    end = time.monotonic() + SECONDS
    async for event in stream:
        samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        loudest = np.argmax(spectrum) * RATE / len(samples)
        total += 1
        good += np.abs(samples).max() > 1000 and abs(loudest - pitch) < 60
        if time.monotonic() > end:
            break
    await stream.aclose()
    return good / total


async def scenario(url, ann, bob):
    ann, bob = Person(url, ann), Person(url, bob)
    await ann.join()
    await ann.show(RED)
    await ann.sing(440)
    # Returns when what Ann sends gets through: her network stays as it is now.
    await ann.room.local_participant.publish_data(b"ready", reliable=True)
    await bob.join()
    camera = await bob.track("ann", rtc.TrackSource.SOURCE_CAMERA)
    voice = await bob.track("ann", rtc.TrackSource.SOURCE_MICROPHONE)
    await watch(camera, RED)
    (frames, count, longest), share = await asyncio.gather(freezes(camera), sound(voice, 440))
    saw("picture", frames=frames, freezes_a_minute=count * 60 / SECONDS, longest_gap=longest)
    saw("sound", share=share)
    await bob.leave()
    await ann.leave()


main(scenario)
