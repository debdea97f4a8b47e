//! The worker's loop: datagrams, commands and timers, each handed to the room that it belongs to.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::{broadcast, mpsc},
    time::sleep_until,
};

use super::{Command, Join, Refusal, RoomId, SessionId};
use crate::{
    Config, Event, Grants, RoomSummary,
    edge::{Demux, Io, PeerSetup, Timers, Wire},
    metrics::Metrics,
    room::{Context, ParticipantId, Piped, Room},
};

/// Speakers, timeouts and keyframes that are still waited for are looked at this often.
const TICK: Duration = Duration::from_millis(100);

/// Datagrams read before anything else gets its turn.
const BATCH: usize = 256;

/// Packets that have come back from GStreamer and wait for the worker; what is above is lost.
const PIPED: usize = 8192;

/// Larger than any Ethernet frame; what is longer is cut and thus refused.
const DATAGRAM: usize = 2000;

/// What a worker starts with.
pub(crate) struct Start {
    pub config: Arc<Config>,
    pub socket: UdpSocket,
    /// Not empty.
    pub advertised: Vec<SocketAddr>,
    pub commands: mpsc::Receiver<Command>,
    pub events: broadcast::Sender<Event>,
    pub metrics: Arc<Metrics>,
}

/// Starts the thread. It ends with [`Command::Shutdown`], or when nobody can send commands any more.
pub(crate) fn start(start: Start) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let wire = {
        let _inside = runtime.enter();
        Wire::new(start.socket, start.advertised)?
    };
    let (piped, from_pipeline) = mpsc::channel(PIPED);
    let worker = Worker {
        setup: PeerSetup::new(start.config.limits.data_message),
        config: start.config,
        io: Io { wire, demux: Demux::default(), timers: Timers::default(), metrics: start.metrics },
        rooms: HashMap::new(),
        names: HashMap::new(),
        sessions: HashMap::new(),
        last_id: 0,
        events: start.events,
        piped,
        next_tick: Instant::now(),
    };
    let commands = start.commands;
    std::thread::Builder::new()
        .name("kith-calls".to_owned())
        .spawn(move || runtime.block_on(worker.run(commands, from_pipeline)))?;
    Ok(())
}

struct Worker {
    config: Arc<Config>,
    setup: PeerSetup,
    io: Io,
    rooms: HashMap<RoomId, Room>,
    names: HashMap<String, RoomId>,
    sessions: HashMap<SessionId, (RoomId, ParticipantId)>,
    last_id: u64,
    events: broadcast::Sender<Event>,
    piped: mpsc::Sender<Piped>,
    next_tick: Instant,
}

/// Borrows of the worker's fields, so that a room can be borrowed beside them.
macro_rules! context {
    ($worker:expr, $now:expr) => {
        Context {
            io: &mut $worker.io,
            setup: &$worker.setup,
            config: &$worker.config,
            events: &$worker.events,
            piped: &$worker.piped,
            now: $now,
        }
    };
}

impl Worker {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut from_pipeline: mpsc::Receiver<Piped>,
    ) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let wake = self.io.timers.next().map_or(self.next_tick, |at| at.min(self.next_tick));
            let mut readable = false;
            let mut command = None;
            tokio::select! {
                ready = self.io.wire.readable() => readable = ready.is_ok(),
                received = commands.recv() => match received {
                    Some(received) => command = Some(received),
                    None => return,
                },
                Some(piped) = from_pipeline.recv() => self.piped(piped),
                () = sleep_until(wake.into()) => {}
            }
            for _ in 0..BATCH {
                let Ok(piped) = from_pipeline.try_recv() else { break };
                self.piped(piped);
            }
            if readable {
                self.datagrams(&mut buffer);
            }
            for _ in 0..BATCH {
                let Some(next) = command.take().or_else(|| commands.try_recv().ok()) else { break };
                if let Command::Shutdown { reply } = next {
                    self.shut_down();
                    // Nobody waits for it any more, or somebody does.
                    let _ = reply.send(());
                    return;
                }
                self.command(next);
            }
            self.time();
        }
    }

    fn datagrams(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            // An error other than "none is there" is of an earlier datagram (ICMP) and says nothing.
            let Ok(datagram) = self.io.wire.receive(buffer) else { return };
            self.io.metrics.received(datagram.contents.len());
            let found = self.io.demux.find(datagram.source, datagram.contents);
            let room = found.and_then(|(key, _)| self.rooms.get_mut(&key.room));
            let (Some((key, stun)), Some(room)) = (found, room) else {
                self.io.metrics.refused();
                continue;
            };
            let mut context = context!(self, Instant::now());
            room.datagram(key, &datagram, stun, &mut context);
        }
    }

    fn piped(&mut self, piped: Piped) {
        if let Some(room) = self.rooms.get_mut(&piped.room()) {
            room.piped(piped, &mut context!(self, Instant::now()));
        }
    }

    fn time(&mut self) {
        let now = Instant::now();
        while let Some(key) = self.io.timers.pop(now) {
            if let Some(room) = self.rooms.get_mut(&key.room) {
                room.timer(key, &mut context!(self, now));
            }
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        for room in self.rooms.values_mut() {
            room.tick(&mut context!(self, now));
        }
        self.close_empty_rooms();
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        // Whoever asked may have gone meanwhile: then nobody takes the answer, which is fine.
        match command {
            Command::Admit { grants, reply } => {
                let _ = reply.send(self.admit(&grants));
            }
            Command::Join { join, reply } => {
                let _ = reply.send(self.join(*join, now));
            }
            Command::Signal { session, message } => {
                if let Some((room, participant)) = self.sessions.get(&session).copied()
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.signal(participant, session, *message, &mut context!(self, now));
                }
            }
            Command::Closed { session } => {
                if let Some((room, participant)) = self.sessions.remove(&session)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.closed(participant, session, now);
                }
            }
            Command::Remove { room, identity, reply } => {
                let room = self.names.get(&room).and_then(|id| self.rooms.get_mut(id));
                let removed =
                    room.is_some_and(|room| room.remove(&identity, &mut context!(self, now)));
                let _ = reply.send(removed);
            }
            Command::Rooms { reply } => {
                let _ = reply.send(self.summaries());
            }
            Command::Tap { room, sink, stop, reply } => {
                let room = self.names.get(&room).and_then(|id| self.rooms.get_mut(id));
                let tapped =
                    room.map(|room| room.tap(sink, stop, &mut context!(self, now))).is_some();
                let _ = reply.send(tapped);
            }
            Command::Shutdown { .. } => unreachable!("the loop takes it"),
        }
        self.close_empty_rooms();
    }

    fn summaries(&self) -> Vec<RoomSummary> {
        let summary = |room: &Room| RoomSummary {
            name: room.name().to_owned(),
            identities: room.identities(),
        };
        self.rooms.values().map(summary).collect()
    }

    fn admit(&self, grants: &Grants) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let attributes = grants.attributes.iter().map(|(key, value)| key.len() + value.len());
        if grants.name.len() + grants.metadata.len() + attributes.sum::<usize>() > limits.metadata {
            return Err(Refusal::MetadataTooLong);
        }
        let room = self.names.get(&grants.room).and_then(|id| self.rooms.get(id));
        match room {
            // Whoever is in the room already takes the own place.
            Some(room) if room.has(&grants.identity) => Ok(()),
            Some(room) if room.len() >= limits.participants_per_room => Err(Refusal::RoomFull),
            Some(_) => Ok(()),
            None if !grants.can_create_room => Err(Refusal::NoSuchRoom),
            None if self.rooms.len() >= limits.rooms => Err(Refusal::TooManyRooms),
            None => Ok(()),
        }
    }

    fn join(&mut self, mut join: Join, now: Instant) -> Result<SessionId, Refusal> {
        let own = join.query.attributes();
        join.grants.attributes.extend(own);
        self.admit(&join.grants)?;
        let room = match self.names.get(&join.grants.room) {
            Some(room) => *room,
            None => self.open_room(&join.grants.room),
        };
        let session = SessionId(self.next_id());
        let participant = ParticipantId(self.next_id());
        let found = self.rooms.get_mut(&room).ok_or(Refusal::NoSuchRoom)?;
        let participant = found.join(join, session, participant, &mut context!(self, now));
        if let Some(participant) = participant {
            self.sessions.insert(session, (room, participant));
        }
        Ok(session)
    }

    fn open_room(&mut self, name: &str) -> RoomId {
        let id = RoomId(self.next_id());
        self.names.insert(name.to_owned(), id);
        let through_pipeline = self.config.through_pipeline.contain(name);
        self.rooms.insert(id, Room::new(id, name.to_owned(), through_pipeline));
        self.io.metrics.room_opened();
        id
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn close_empty_rooms(&mut self) {
        let (names, events, metrics) = (&mut self.names, &self.events, &self.io.metrics);
        self.rooms.retain(|_, room| {
            if room.len() > 0 {
                return true;
            }
            names.remove(room.name());
            metrics.room_closed();
            // Nobody may listen.
            let _ = events.send(Event::RoomFinished { room: room.name().to_owned() });
            false
        });
    }

    fn shut_down(&mut self) {
        let now = Instant::now();
        for room in self.rooms.values_mut() {
            room.shut_down(&mut context!(self, now));
        }
        self.close_empty_rooms();
    }
}
