// Two people who use matrix-js-sdk (as Element does) meet on the server whose URL is the argument.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import * as people from "./people.mjs";
import { PASSWORD, logger, saw, until } from "./people.mjs";

const url = process.argv[2];

async function register(username) {
    const anonymous = sdk.createClient({ baseUrl: url, logger });
    assert.equal(await anonymous.isUsernameAvailable(username), true);
    const session = await people.register(url, username);
    const client = people.clientOf(url, session, { timelineSupport: true });
    await people.start(client, { initialSyncLimit: 10, threadSupport: true });
    saw("registered", { user_id: session.user_id });
    return client;
}

async function logIn(userId) {
    const client = sdk.createClient({ baseUrl: url, logger });
    const { flows } = await client.loginFlows();
    assert.ok(flows.some((flow) => flow.type === "m.login.password"));
    const wrong = { type: "m.login.password", identifier: { type: "m.id.user", user: userId } };
    const refused = await client.loginRequest({ ...wrong, password: "wrong" }).catch((e) => e);
    assert.equal(refused.errcode, "M_FORBIDDEN");
    const session = await client.loginRequest({ ...wrong, password: PASSWORD });
    client.setAccessToken(session.access_token);
    assert.equal((await client.whoami()).user_id, userId);
    assert.equal((await client.getDevices()).devices.length, 2);
    await client.logout(true);
    saw("second device");
}

const roomOf = (client, roomId) =>
    until(`room ${roomId}`, [[client, sdk.ClientEvent.Room]], () => client.getRoom(roomId));

// The event, once the client's own sync has brought it.
const received = (client, roomId, eventId) =>
    until(`event ${eventId}`, [[client, sdk.RoomEvent.Timeline]], () =>
        client.getRoom(roomId)?.findEventById(eventId),
    );

async function openDirectChat(alice, bob) {
    await bob.setDisplayName("Bob the Builder");
    assert.equal((await alice.getProfileInfo(bob.getUserId())).displayname, "Bob the Builder");
    saw("profile");

    const { room_id: roomId } = await alice.createRoom({
        is_direct: true,
        preset: "trusted_private_chat",
        invite: [bob.getUserId()],
    });
    await alice.setAccountData("m.direct", { [bob.getUserId()]: [roomId] });
    const data = () => alice.getAccountData("m.direct")?.getContent()[bob.getUserId()];
    const chats = await until("m.direct", [[alice, sdk.ClientEvent.AccountData]], data);
    assert.deepEqual(chats, [roomId]);

    const invited = await roomOf(bob, roomId);
    assert.equal(invited.getMyMembership(), "invite");
    assert.equal(invited.getDMInviter(), alice.getUserId());
    await bob.joinRoom(roomId);
    await until("own join", [[bob, sdk.RoomEvent.MyMembership]], () =>
        bob.getRoom(roomId).getMyMembership() === "join",
    );
    saw("direct chat", { room_id: roomId });

    const { results } = await alice.searchUserDirectory({ term: "builder" });
    assert.deepEqual(results.map((user) => user.user_id), [bob.getUserId()]);
    saw("user directory", { found: results[0].display_name });
    return roomId;
}

async function chat(alice, bob, roomId) {
    const { event_id: text } = await alice.sendHtmlMessage(roomId, "hello Bob", "hello <b>Bob</b>");
    const seen = await received(bob, roomId, text);
    assert.equal(seen.getContent().formatted_body, "hello <b>Bob</b>");
    saw("formatted text", { body: seen.getContent().body });

    // The SDK replaces its local echo by the event of its own sync, found by its transaction ID.
    const mine = await until("remote echo", [[alice, sdk.RoomEvent.LocalEchoUpdated]], () => {
        const event = alice.getRoom(roomId)?.findEventById(text);
        return event?.getUnsigned().transaction_id && event;
    });
    const timeline = alice.getRoom(roomId).getLiveTimeline().getEvents();
    assert.equal(timeline.filter((event) => event.getContent().body === "hello Bob").length, 1);
    assert.equal(mine.isSending(), false);
    assert.equal(seen.getUnsigned().transaction_id, undefined);
    saw("transaction id");

    const { event_id: reply } = await bob.sendMessage(roomId, {
        "msgtype": "m.text",
        "body": "hello yourself",
        "m.relates_to": { "m.in_reply_to": { event_id: text } },
    });
    assert.equal((await received(alice, roomId, reply)).replyEventId, text);
    saw("reply");

    await alice.sendMessage(roomId, {
        "msgtype": "m.text",
        "body": "* hello Robert",
        "m.new_content": { msgtype: "m.text", body: "hello Robert" },
        "m.relates_to": { rel_type: "m.replace", event_id: text },
    });
    await until("edit", [[seen, sdk.MatrixEventEvent.Replaced]], () => seen.replacingEvent());
    assert.equal(seen.getContent().body, "hello Robert");
    saw("edit");

    const { event_id: reaction } = await alice.sendEvent(roomId, "m.reaction", {
        "m.relates_to": { rel_type: "m.annotation", event_id: reply, key: "👍" },
    });
    const reacted = await received(bob, roomId, reaction);
    assert.equal(reacted.getRelation().key, "👍");
    saw("reaction");

    await alice.redactEvent(roomId, reaction, undefined, { reason: "changed my mind" });
    await until("redaction", [[bob, sdk.RoomEvent.Redaction]], () => reacted.isRedacted());
    const redacted = await bob.fetchRoomEvent(roomId, reaction);
    assert.deepEqual(redacted.content, {});
    saw("redaction");
    return received(alice, roomId, reply);
}

async function ephemeral(alice, bob, roomId, event) {
    const typing = () => bob.getRoom(roomId).getMember(alice.getUserId())?.typing;
    await alice.sendTyping(roomId, true, 30_000);
    await until("typing", [[bob, sdk.RoomMemberEvent.Typing]], () => typing());
    await alice.sendTyping(roomId, false, 0);
    await until("no typing", [[bob, sdk.RoomMemberEvent.Typing]], () => !typing());
    saw("typing");

    await alice.sendReadReceipt(event);
    const readUpTo = () => bob.getRoom(roomId).getEventReadUpTo(alice.getUserId(), true);
    await until("receipt", [[bob, sdk.RoomEvent.Receipt]], () => readUpTo() === event.getId());
    saw("receipt");

    await bob.setRoomReadMarkers(roomId, event.getId(), event);
    const marker = () => bob.getRoom(roomId).getAccountData("m.fully_read")?.getContent();
    const changes = [[bob, sdk.RoomEvent.AccountData]];
    await until("read marker", changes, () => marker()?.event_id === event.getId());
    saw("read marker");
}

async function unreadCounts(alice, bob, roomId) {
    const room = bob.getRoom(roomId);
    const changes = [[room, sdk.RoomEvent.UnreadNotifications], [bob, sdk.ClientEvent.Sync]];
    const { event_id: mention } = await alice.sendMessage(roomId, {
        "msgtype": "m.text",
        "body": "Bob, look",
        "m.mentions": { user_ids: [bob.getUserId()] },
    });
    await until("highlight", changes, () => room.getUnreadNotificationCount("highlight") === 1);
    assert.equal(room.getUnreadNotificationCount("total"), 1);
    await bob.sendReadReceipt(await received(bob, roomId, mention));
    await until("nothing unread", changes, () => room.getUnreadNotificationCount("total") === 0);
    saw("unread counts");
}

async function privateData(alice, roomId) {
    await alice.setRoomTag(roomId, "m.favourite", { order: 0.25 });
    const tags = () => alice.getRoom(roomId).tags["m.favourite"];
    const tag = await until("tag", [[alice, sdk.RoomEvent.Tags]], tags);
    assert.deepEqual(tag, { order: 0.25 });
    saw("tag");
}

async function groupRoom(alice, bob) {
    const { room_id: roomId } = await alice.createRoom({
        name: "Plans",
        topic: "of mice and men",
        preset: "public_chat",
        room_alias_name: "plans",
        visibility: "public",
    });
    const alias = `#plans:${alice.getDomain()}`;
    assert.equal((await bob.getRoomIdForAlias(alias)).room_id, roomId);
    const published = await bob.publicRooms({ filter: { generic_search_term: "mice" } });
    assert.deepEqual(published.chunk.map((room) => room.room_id), [roomId]);
    saw("room directory", { members: published.chunk[0].num_joined_members });

    const sent = [];
    for (let n = 0; n < 30; n++) {
        sent.push((await alice.sendTextMessage(roomId, String(n))).event_id);
    }
    await bob.joinRoom(alias);
    const room = await roomOf(bob, roomId);
    await until("name", [[bob, sdk.ClientEvent.Sync]], () => room.name === "Plans");
    await room.loadMembersIfNeeded();
    const members = room.getJoinedMembers().map((member) => member.userId).sort();
    assert.deepEqual(members, [alice.getUserId(), bob.getUserId()]);
    saw("group room", { name: room.name });

    // The sync brought the newest; the rest comes page by page.
    let timeline = room.getLiveTimeline().getEvents();
    for (let pages = 0; pages < 20 && room.oldState.paginationToken !== null; pages++) {
        await bob.scrollback(room, 7);
        timeline = room.getLiveTimeline().getEvents();
    }
    const ids = timeline.map((event) => event.getId());
    assert.equal(new Set(ids).size, ids.length, "an event came twice");
    assert.deepEqual(ids.filter((id) => sent.includes(id)), sent);
    assert.equal(timeline[0].getType(), "m.room.create");
    saw("history", { events: ids.length });

    await bob.leave(roomId);
    const gone = () => bob.getRoom(roomId)?.getMyMembership() === "leave";
    await until("own leave", [[bob, sdk.RoomEvent.MyMembership], [bob, sdk.ClientEvent.Sync]], gone);
    await bob.forget(roomId);
    assert.ok(!(await bob.getJoinedRooms()).joined_rooms.includes(roomId));
    saw("left");
}

people.tell(async () => {
    const alice = await register("alice");
    const bob = await register("bob");
    await logIn((await register("carol")).getUserId());
    const roomId = await openDirectChat(alice, bob);
    const reply = await chat(alice, bob, roomId);
    await ephemeral(alice, bob, roomId, reply);
    await unreadCounts(alice, bob, roomId);
    await privateData(alice, roomId);
    await groupRoom(alice, bob);
});
