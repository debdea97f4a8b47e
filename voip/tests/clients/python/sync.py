"""Bob sees and hears Ann flash and beep: how far apart, and how long after?"""

import asyncio
import time

from livekit import rtc
import numpy as np

from flash import flash
from people import RATE, Person, main, saw


async def flashes(track, end):
    """When pictures became white."""
    stream, was, moments = rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA), True, []
    async for event in stream:
        frame = event.frame
        pixels = np.frombuffer(frame.data, dtype=np.uint8).reshape(frame.height, frame.width, 4)
        white = pixels[frame.height // 2, frame.width // 2, :3].min() > 170
        if white and not was:
            moments.append(time.monotonic())
        was = white
        if time.monotonic() > end:
            break
    await stream.aclose()
    return moments


async def beeps(track, end):
    """When it became loud."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
    was, moments = True, []
    async for event in stream:
        loud = np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max() > 1000
        if loud and not was:
            moments.append(time.monotonic())
        was = loud
        if time.monotonic() > end:
            break
    await stream.aclose()
    return moments


def nearest(moments, to):
    return min((moment - to for moment in moments), key=abs)


async def scenario(url, ann, bob, seconds):
    ann, bob = Person(url, ann), Person(url, bob)
    await ann.join()
    painted = []
    await flash(ann, painted)
    await bob.join()
    camera = await bob.track("ann", rtc.TrackSource.SOURCE_CAMERA)
    voice = await bob.track("ann", rtc.TrackSource.SOURCE_MICROPHONE)
    # Players need sender reports before they can keep both together.
    await asyncio.sleep(5)
    end = time.monotonic() + float(seconds)
    seen, heard = await asyncio.gather(flashes(camera, end), beeps(voice, end))
    # The last may have lost its partner.
    apart = [nearest(heard, moment) * 1000 for moment in seen[:-1]]
    after = [(moment - max(at for at in painted if at <= moment)) * 1000 for moment in seen]
    saw("apart", milliseconds=apart)
    saw("after", milliseconds=after)
    await bob.leave()
    await ann.leave()


main(scenario)
