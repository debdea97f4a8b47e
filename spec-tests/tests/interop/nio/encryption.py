"""Two people who use matrix-nio meet in an encrypted room on the server whose URL is the argument.

Prints a JSON line for everything that was seen; ends with a traceback as soon as something is not
as the specification says.
"""

import asyncio
import json
import sys

import nio
from nio.crypto.sas import SasState
from nio.store import SqliteMemoryStore

PASSWORD = "correct horse battery staple"
ATTEMPTS = 20
CONFIG = nio.AsyncClientConfig(
    max_timeouts=0, request_timeout=60, encryption_enabled=True, store=SqliteMemoryStore
)


def saw(what, **details):
    print(json.dumps({"saw": what, **details}), flush=True)


def good(response, kind):
    assert isinstance(response, kind), f"wanted {kind.__name__}, got {response!r}"
    return response


async def keep_up(client):
    """What nio's own loop does after each sync."""
    if client.should_upload_keys:
        good(await client.keys_upload(), nio.KeysUploadResponse)
    if client.should_query_keys:
        good(await client.keys_query(), nio.KeysQueryResponse)
    if client.should_claim_keys:
        claimed = await client.keys_claim(client.get_users_for_key_claiming())
        good(claimed, nio.KeysClaimResponse)
    for response in await client.send_to_device_messages():
        good(response, nio.ToDeviceResponse)


async def sync(client, timeout=0):
    response = good(await client.sync(timeout=timeout, full_state=False), nio.SyncResponse)
    await keep_up(client)
    return response


async def register(url, name):
    client = nio.AsyncClient(url, config=CONFIG)
    good(await client.register(name, PASSWORD, device_name="nio"), nio.RegisterResponse)
    assert client.olm, "encryption is on"
    await sync(client)
    assert not client.should_upload_keys, "the server has as many keys as it should"
    saw("registered", user_id=client.user_id)
    return client


async def log_in(url, user_id):
    client = nio.AsyncClient(url, user_id, config=CONFIG)
    good(await client.login(PASSWORD, device_name="second"), nio.LoginResponse)
    await sync(client)
    saw("second device", device_id=client.device_id)
    return client


async def open_secret_room(alice, bob):
    created = await alice.room_create(
        invite=[bob.user_id],
        initial_state=[nio.EnableEncryptionBuilder().as_dict()],
    )
    room_id = good(created, nio.RoomCreateResponse).room_id
    await sync(bob)
    good(await bob.join(room_id), nio.JoinResponse)
    for client in (alice, bob, alice):
        await sync(client)
    assert alice.rooms[room_id].encrypted and bob.rooms[room_id].encrypted
    assert {*alice.rooms[room_id].users} == {alice.user_id, bob.user_id}
    saw("secret room", room_id=room_id)
    return room_id


async def say(client, room_id, body):
    content = {"msgtype": "m.text", "body": body}
    sent = await client.room_send(
        room_id, "m.room.message", content, ignore_unverified_devices=True
    )
    return good(sent, nio.RoomSendResponse).event_id


async def hear(client, room_id, event_id):
    for _ in range(ATTEMPTS):
        response = await sync(client, timeout=3000)
        room = response.rooms.join.get(room_id)
        for event in room.timeline.events if room else []:
            if event.event_id == event_id:
                assert isinstance(event, nio.RoomMessageText), f"not decrypted: {event!r}"
                assert event.decrypted, event
                return event
    raise AssertionError("never seen")


async def verify(alice, bob):
    """They compare emoji."""
    device = alice.device_store[bob.user_id][bob.device_id]
    good(await alice.start_key_verification(device), nio.ToDeviceResponse)
    transaction = next(iter(alice.key_verifications))
    for _ in range(ATTEMPTS):
        await sync(bob, timeout=1000)
        if transaction in bob.key_verifications:
            break
    good(await bob.accept_key_verification(transaction), nio.ToDeviceResponse)
    both = [client.key_verifications[transaction] for client in (alice, bob)]

    async def until(done):
        for _ in range(ATTEMPTS):
            for client in (alice, bob):
                await sync(client, timeout=200)
            if all(done(sas) for sas in both):
                return
        raise AssertionError([sas.state for sas in both])

    await until(lambda sas: sas.state is SasState.key_received)
    assert both[0].get_emoji() == both[1].get_emoji()
    for client in (alice, bob):
        good(await client.confirm_short_auth_string(transaction), nio.ToDeviceResponse)
    await until(lambda sas: sas.verified)
    for one, other in ((alice, bob), (bob, alice)):
        assert one.device_store[other.user_id][other.device_id].verified
    saw("verified by emoji")


async def main(url):
    alice, bob = await register(url, "alice"), await register(url, "bob")
    clients = [alice, bob]
    try:
        room_id = await open_secret_room(alice, bob)
        event_id = await say(alice, room_id, "a secret")
        assert (await hear(bob, room_id, event_id)).body == "a secret"
        saw("decrypted")

        stored = good(await alice.room_get_event(room_id, event_id), nio.RoomGetEventResponse)
        assert isinstance(stored.event, nio.MegolmEvent) or stored.event.decrypted, stored.event
        event_id = await say(bob, room_id, "another")
        assert (await hear(alice, room_id, event_id)).body == "another"
        saw("answered")
        await verify(alice, bob)

        tablet = await log_in(url, bob.user_id)
        clients.append(tablet)
        for client in (alice, bob):
            # The others hear of the device and ask for its keys.
            await sync(client, timeout=3000)
            devices = {device.device_id for device in client.device_store.active_user_devices(bob.user_id)}
            assert tablet.device_id in devices or client is bob, devices
        saw("device list")
        event_id = await say(alice, room_id, "for all three")
        for client in (bob, tablet):
            assert (await hear(client, room_id, event_id)).body == "for all three"
        saw("both devices")

        good(await tablet.logout(), nio.LogoutResponse)
        await sync(alice, timeout=3000)
        devices = [device.device_id for device in alice.device_store.active_user_devices(bob.user_id)]
        assert devices == [bob.device_id], devices
        event_id = await say(alice, room_id, "for two again")
        assert (await hear(bob, room_id, event_id)).body == "for two again"
        saw("without the device that left")
        saw("end")
    finally:
        for client in clients:
            await client.close()


asyncio.run(main(sys.argv[1]))
