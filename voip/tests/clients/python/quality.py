"""Bob watches and listens to Ann for a while: how much of it was good?"""

import asyncio
import time

from livekit import rtc
import numpy as np

from people import RATE, Person, main, pitch_of, saw, watch

RED = (200, 30, 30)


async def freezes(track, seconds):
    """Decoded frames, gaps between them above half a second, and the longest gap."""
    stream, last, count, frames, longest = rtc.VideoStream(track), None, 0, 0, 0
    end = time.monotonic() + seconds
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


async def sound(track, pitch, seconds):
    """The share of pieces of sound that are not silent and of this pitch."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=40)
    good = total = 0
    end = time.monotonic() + seconds
    async for event in stream:
        samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
        total += 1
        good += np.abs(samples).max() > 1000 and abs(pitch_of(samples) - pitch) < 60
        if time.monotonic() > end:
            break
    await stream.aclose()
    return good / total


async def statistics(track):
    """What the client itself counts of a track that it receives."""
    for stats in await track.get_stats():
        if stats.WhichOneof("stats") == "inbound_rtp":
            return stats.inbound_rtp
    raise AssertionError("no statistics")


async def scenario(url, bob, seconds):
    seconds = float(seconds)
    bob = Person(url, bob)
    await bob.join()
    camera = await bob.track("ann", rtc.TrackSource.SOURCE_CAMERA)
    voice = await bob.track("ann", rtc.TrackSource.SOURCE_MICROPHONE)
    await watch(camera, RED)
    before = (await statistics(voice)).inbound
    (frames, count, longest), share = await asyncio.gather(
        freezes(camera, seconds), sound(voice, 440, seconds)
    )
    after, picture = (await statistics(voice)).inbound, await statistics(camera)
    samples = after.total_samples_received - before.total_samples_received
    concealed = (after.concealed_samples - before.concealed_samples) / max(samples, 1)
    saw(
        "picture", frames=frames, freezes_a_minute=count * 60 / seconds, longest_gap=longest,
        keyframes=picture.inbound.key_frames_decoded, nacks=picture.inbound.nack_count,
        plis=picture.inbound.pli_count, repeated=picture.inbound.retransmitted_packets_received,
        packets=picture.received.packets_received, jitter=picture.received.jitter,
        dropped=picture.inbound.frames_dropped, frozen=picture.inbound.total_freeze_duration,
        delay=picture.inbound.jitter_buffer_delay / max(picture.inbound.jitter_buffer_emitted_count, 1),
    )
    saw("sound", share=share, concealed=concealed)
    await bob.leave()


main(scenario)
