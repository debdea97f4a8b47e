"""Ann and Bob meet, Cid comes late: pictures, sound, mute, data, unpublish, leave."""

from livekit import rtc

from people import Person, listen, main, saw, watch

CAMERA, MICROPHONE = rtc.TrackSource.SOURCE_CAMERA, rtc.TrackSource.SOURCE_MICROPHONE
RED, GREEN = (200, 30, 30), (30, 180, 30)


async def scenario(url, ann, bob, cid, codec, encrypted):
    codec = getattr(rtc.VideoCodec, codec)
    encrypted = encrypted == "encrypted"
    ann, bob, cid = (Person(url, token, encrypted) for token in (ann, bob, cid))
    saw("joined", seconds=await ann.join())
    await ann.show(RED, codec)
    voice = await ann.sing(440)

    # Bob comes when the tracks are there already.
    saw("second joined", seconds=await bob.join())
    await watch(await bob.track("ann", CAMERA), RED)
    saw("picture")
    await listen(await bob.track("ann", MICROPHONE), 440)
    saw("sound")

    # Tracks added in the middle of a call, and in the other direction.
    await bob.show(GREEN, codec)
    await bob.sing(880)
    await watch(await ann.track("bob", CAMERA), GREEN)
    await listen(await ann.track("bob", MICROPHONE), 880)
    saw("answer")

    await cid.join()
    await watch(await cid.track("ann", CAMERA), RED)
    await watch(await cid.track("bob", CAMERA), GREEN)
    await listen(await cid.track("bob", MICROPHONE), 880)
    saw("late joiner")

    await cid.until(lambda: cid.speakers >= {"ann", "bob"}, "both speak")
    saw("speakers")

    voice.track.mute()
    await bob.until(
        lambda: any(
            publication.muted and publication.source == MICROPHONE
            for publication in bob.room.remote_participants["ann"].track_publications.values()
        ),
        "ann is muted",
    )
    voice.track.unmute()
    await listen(await bob.track("ann", MICROPHONE), 440)
    saw("muted and not any more")

    await ann.room.local_participant.publish_data(b"to all", reliable=True, topic="greeting")
    for person in (bob, cid):
        await person.until(lambda: ("ann", b"to all", "greeting") in person.data, "data")
    await ann.room.local_participant.publish_data(b"to bob", reliable=False, destination_identities=["bob"])
    await bob.until(lambda: any(data == b"to bob" for _, data, _ in bob.data), "data")
    assert not any(data == b"to bob" for _, data, _ in cid.data)
    saw("data")

    await cid.room.local_participant.set_attributes({"hand": "raised"})
    await ann.until(
        lambda: ann.room.remote_participants["cid"].attributes.get("hand") == "raised", "attributes"
    )
    saw("attributes")

    sid = next(
        sid for sid, publication in ann.room.local_participant.track_publications.items()
        if publication.source == CAMERA
    )
    await ann.room.local_participant.unpublish_track(sid)
    await bob.until(lambda: ("ann", CAMERA) not in bob.tracks, "no picture any more")
    await listen(await bob.track("ann", MICROPHONE), 440)
    saw("unpublished")

    # The place is free again.
    await ann.show(GREEN, codec)
    await watch(await bob.track("ann", CAMERA), GREEN)
    saw("published again")

    await bob.leave()
    await ann.until(lambda: "bob" not in ann.room.remote_participants, "bob left")
    saw("left")
    await cid.leave()
    await ann.leave()


main(scenario)
