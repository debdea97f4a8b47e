"""Two people who use matrix-nio meet on the server whose URL is the argument.

Prints a JSON line for everything that was seen; ends with a traceback as soon as something is not
as the specification says.
"""

import asyncio
import json
import sys

import nio

PASSWORD = "correct horse battery staple"
ATTEMPTS = 20


def saw(what, **details):
    print(json.dumps({"saw": what, **details}), flush=True)


def good(response, kind):
    assert isinstance(response, kind), f"wanted {kind.__name__}, got {response!r}"
    return response


async def raw(client, method, path, body=None):
    """For endpoints that nio has no function for."""
    headers = {
        "Authorization": f"Bearer {client.access_token}",
        "Content-Type": "application/json",
    }
    data = None if body is None else json.dumps(body)
    response = await client.send(method, "/_matrix/client/v3" + path, data, headers)
    text = await response.text()
    assert response.status == 200, f"{method} {path}: {response.status} {text}"
    return json.loads(text)


async def register(url, name):
    client = nio.AsyncClient(url, config=nio.AsyncClientConfig(max_timeouts=0, request_timeout=60))
    good(await client.register(name, PASSWORD, device_name="nio"), nio.RegisterResponse)
    assert client.access_token, "registration signs in"
    saw("registered", user_id=client.user_id)
    return client


async def log_in(url, user_id):
    client = nio.AsyncClient(url, user_id, config=nio.AsyncClientConfig(max_timeouts=0))
    flows = good(await client.login_info(), nio.LoginInfoResponse).flows
    assert "m.login.password" in flows, flows
    good(await client.login(PASSWORD, device_name="second"), nio.LoginResponse)
    me = good(await client.whoami(), nio.WhoamiResponse)
    assert me.user_id == user_id and me.device_id == client.device_id, me
    devices = good(await client.devices(), nio.DevicesResponse).devices
    assert len(devices) == 2, devices
    saw("second device")
    good(await client.logout(), nio.LogoutResponse)
    await client.close()


def check_events(sync):
    """nio marks what does not have the specified shape."""
    bad = (nio.BadEvent, nio.UnknownBadEvent)
    for room in sync.rooms.join.values():
        for event in room.timeline.events + room.state:
            assert not isinstance(event, bad), f"malformed: {event.source}"


async def sync_until(client, shows):
    """Follows the client's syncs until `shows(sync)` is something."""
    for _ in range(ATTEMPTS):
        sync = good(await client.sync(timeout=3000), nio.SyncResponse)
        check_events(sync)
        found = shows(sync)
        if found:
            return found
    raise AssertionError("never seen")


def in_timeline(room_id, wanted):
    def shows(sync):
        room = sync.rooms.join.get(room_id)
        events = room.timeline.events if room else []
        return next((event for event in events if wanted(event)), None)

    return shows


def in_ephemeral(room_id, kind, wanted):
    def shows(sync):
        room = sync.rooms.join.get(room_id)
        events = room.ephemeral if room else []
        return next((event for event in events if isinstance(event, kind) and wanted(event)), None)

    return shows


async def find_each_other(alice, bob):
    good(await bob.set_displayname("Bob the Builder"), nio.ProfileSetDisplayNameResponse)
    name = good(await alice.get_displayname(bob.user_id), nio.ProfileGetDisplayNameResponse)
    assert name.displayname == "Bob the Builder", name
    saw("profile", name=name.displayname)


async def open_direct_chat(alice, bob):
    created = await alice.room_create(
        is_direct=True, preset=nio.RoomPreset.trusted_private_chat, invite=[bob.user_id]
    )
    room_id = good(created, nio.RoomCreateResponse).room_id
    direct = {bob.user_id: [room_id]}
    await raw(alice, "PUT", f"/user/{alice.user_id}/account_data/m.direct", direct)
    rooms = good(await alice.list_direct_rooms(), nio.DirectRoomsResponse).rooms
    assert rooms == direct, rooms

    def invited(sync):
        invite = sync.rooms.invite.get(room_id)
        return invite and [e for e in invite.invite_state if isinstance(e, nio.InviteMemberEvent)]

    members = await sync_until(bob, invited)
    mine = next(member for member in members if member.state_key == bob.user_id)
    assert mine.content.get("is_direct") is True, mine.source
    assert mine.sender == alice.user_id
    good(await bob.join(room_id), nio.JoinResponse)
    saw("direct chat", room_id=room_id)

    # A user in a common room can be searched by either name.
    found = await raw(alice, "POST", "/user_directory/search", {"search_term": "builder"})
    assert [user["user_id"] for user in found["results"]] == [bob.user_id], found
    saw("user directory", found=found["results"][0]["display_name"])
    return room_id


async def send(client, room_id, content, kind="m.room.message"):
    return good(await client.room_send(room_id, kind, content), nio.RoomSendResponse).event_id


async def chat(alice, bob, room_id):
    text = await send(
        alice,
        room_id,
        {
            "msgtype": "m.text",
            "body": "hello **Bob**",
            "format": "org.matrix.custom.html",
            "formatted_body": "hello <b>Bob</b>",
        },
    )
    seen = await sync_until(bob, in_timeline(room_id, lambda event: event.event_id == text))
    assert isinstance(seen, nio.RoomMessageText) and seen.formatted_body == "hello <b>Bob</b>"
    saw("formatted text", body=seen.body)

    # The sender's own sync has the transaction ID, others' have not.
    mine = await sync_until(alice, in_timeline(room_id, lambda event: event.event_id == text))
    assert mine.transaction_id, mine.source
    assert seen.transaction_id is None, seen.source
    saw("transaction id")

    reply = await send(
        bob,
        room_id,
        {
            "msgtype": "m.text",
            "body": "hello yourself",
            "m.relates_to": {"m.in_reply_to": {"event_id": text}},
        },
    )
    seen = await sync_until(alice, in_timeline(room_id, lambda event: event.event_id == reply))
    in_reply_to = seen.source["content"]["m.relates_to"]["m.in_reply_to"]
    assert in_reply_to == {"event_id": text}, seen.source
    saw("reply")

    edit = await send(
        alice,
        room_id,
        {
            "msgtype": "m.text",
            "body": "* hello Robert",
            "m.new_content": {"msgtype": "m.text", "body": "hello Robert"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": text},
        },
    )
    seen = await sync_until(bob, in_timeline(room_id, lambda event: event.event_id == edit))
    assert seen.source["content"]["m.new_content"]["body"] == "hello Robert"
    saw("edit")

    annotation = {"rel_type": "m.annotation", "event_id": reply, "key": "👍"}
    reaction = await send(alice, room_id, {"m.relates_to": annotation}, "m.reaction")
    seen = await sync_until(bob, in_timeline(room_id, lambda event: event.event_id == reaction))
    assert isinstance(seen, nio.ReactionEvent) and seen.key == "👍" and seen.reacts_to == reply
    saw("reaction", key=seen.key)

    redaction = good(await alice.room_redact(room_id, reaction, "changed my mind"), nio.RoomRedactResponse)
    seen = await sync_until(
        bob, in_timeline(room_id, lambda event: event.event_id == redaction.event_id)
    )
    assert isinstance(seen, nio.RedactionEvent) and seen.redacts == reaction, seen.source
    redacted = good(await bob.room_get_event(room_id, reaction), nio.RoomGetEventResponse).event
    assert redacted.source["content"] == {}, redacted.source
    saw("redaction")
    return reply


async def ephemeral(alice, bob, room_id, event_id):
    good(await alice.room_typing(room_id, True, 30_000), nio.RoomTypingResponse)
    is_typing = in_ephemeral(room_id, nio.TypingNoticeEvent, lambda e: e.users == [alice.user_id])
    await sync_until(bob, is_typing)
    good(await alice.room_typing(room_id, False), nio.RoomTypingResponse)
    await sync_until(bob, in_ephemeral(room_id, nio.TypingNoticeEvent, lambda e: e.users == []))
    saw("typing")

    read = await alice.update_receipt_marker(room_id, event_id, nio.ReceiptType.read)
    good(read, nio.UpdateReceiptMarkerResponse)

    def is_read(event):
        return [r for r in event.receipts if r.event_id == event_id and r.user_id == alice.user_id]

    event = await sync_until(bob, in_ephemeral(room_id, nio.ReceiptEvent, is_read))
    assert is_read(event)[0].receipt_type == "m.read", event
    saw("receipt")

    good(await bob.room_read_markers(room_id, event_id, event_id), nio.RoomReadMarkersResponse)

    def fully_read(sync):
        room = sync.rooms.join.get(room_id)
        data = room.account_data if room else []
        return [e for e in data if isinstance(e, nio.FullyReadEvent) and e.event_id == event_id]

    await sync_until(bob, fully_read)
    saw("read marker")


async def private_data(alice, room_id):
    tag = f"/user/{alice.user_id}/rooms/{room_id}/tags/m.favourite"
    await raw(alice, "PUT", tag, {"order": 0.25})

    def tagged(sync):
        room = sync.rooms.join.get(room_id)
        data = room.account_data if room else []
        return [e for e in data if isinstance(e, nio.TagEvent) and "m.favourite" in e.tags]

    tags = (await sync_until(alice, tagged))[0].tags
    assert tags == {"m.favourite": {"order": 0.25}}, tags
    saw("tag")


async def group_room(alice, bob):
    created = await alice.room_create(name="Plans", topic="of mice and men", alias="plans")
    room_id = good(created, nio.RoomCreateResponse).room_id
    alias = "#plans:" + alice.user_id.split(":", 1)[1]
    resolved = good(await bob.room_resolve_alias(alias), nio.RoomResolveAliasResponse)
    assert resolved.room_id == room_id, resolved
    good(await alice.room_invite(room_id, bob.user_id), nio.RoomInviteResponse)
    good(await bob.join(alias), nio.JoinResponse)
    members = good(await bob.joined_members(room_id), nio.JoinedMembersResponse).members
    names = {member.user_id: member.display_name for member in members}
    assert names[bob.user_id] == "Bob the Builder" and alice.user_id in names, names

    await sync_until(bob, lambda sync: room_id in sync.rooms.join)
    assert bob.rooms[room_id].name == "Plans", bob.rooms[room_id].name
    assert bob.rooms[room_id].topic == "of mice and men"
    saw("group room", name=bob.rooms[room_id].display_name)

    sent = [await send(alice, room_id, {"msgtype": "m.text", "body": str(n)}) for n in range(30)]
    everything, start = [], ""
    while True:
        page = await bob.room_messages(room_id, start, limit=7)
        page = good(page, nio.RoomMessagesResponse)
        everything += page.chunk
        if not page.end:
            break
        start = page.end
    ids = [event.event_id for event in everything]
    assert len(ids) == len(set(ids)), "an event came twice"
    assert [event_id for event_id in reversed(ids) if event_id in sent] == sent
    assert everything[-1].source["type"] == "m.room.create", everything[-1].source
    saw("history", events=len(everything))

    context = good(await bob.room_context(room_id, sent[10], limit=4), nio.RoomContextResponse)
    assert context.event.event_id == sent[10]
    assert [event.event_id for event in context.events_before] == [sent[9], sent[8]]
    assert [event.event_id for event in context.events_after] == [sent[11], sent[12]]
    saw("context")

    good(await bob.room_leave(room_id), nio.RoomLeaveResponse)
    await sync_until(bob, lambda sync: room_id in sync.rooms.leave)
    good(await bob.room_forget(room_id), nio.RoomForgetResponse)
    rooms = good(await bob.joined_rooms(), nio.JoinedRoomsResponse).rooms
    assert room_id not in rooms, rooms
    saw("left")


async def main(url):
    alice, bob = await register(url, "alice"), await register(url, "bob")
    try:
        await log_in(url, alice.user_id)
        for client in (alice, bob):
            good(await client.sync(timeout=0, full_state=True), nio.SyncResponse)
        await find_each_other(alice, bob)
        room_id = await open_direct_chat(alice, bob)
        reply = await chat(alice, bob, room_id)
        await ephemeral(alice, bob, room_id, reply)
        await private_data(alice, room_id)
        await group_room(alice, bob)
    finally:
        await alice.close()
        await bob.close()
    saw("end")


asyncio.run(main(sys.argv[1]))
