"""Ann sends; one after the other joins and waits for the first picture and the first sound."""

import asyncio
import time

from livekit import rtc
import numpy as np

from people import RATE, Person, main, saw

RED = (200, 30, 30)


async def first(stream, is_it, started):
    async for event in stream:
        if is_it(event):
            break
    await stream.aclose()
    return time.monotonic() - started


async def scenario(url, ann, *others):
    ann = Person(url, ann)
    await ann.join()
    await ann.show(RED)
    await ann.sing(440)
    for token in others:
        other = Person(url, token)
        started = time.monotonic()

        async def picture():
            track = await other.track("ann", rtc.TrackSource.SOURCE_CAMERA)
            return await first(rtc.VideoStream(track), lambda event: True, started)

        async def sound():
            track = await other.track("ann", rtc.TrackSource.SOURCE_MICROPHONE)
            stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
            loud = lambda event: np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max() > 1000
            return await first(stream, loud, started)

        _, seen, heard = await asyncio.gather(other.join(), picture(), sound())
        saw("joined", picture=seen, sound=heard)
        await other.leave()
    await ann.leave()


main(scenario)
