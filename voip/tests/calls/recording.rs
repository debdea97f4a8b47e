//! A recording is played again: the picture's colour, the tone's pitch, and that both belong together.

use std::{path::Path, time::Duration};

use gstreamer::{Pipeline, State, prelude::*};
use gstreamer_app::AppSink;
use kith_voip::{pipeline::check, protocol::signal_response::Message as Response};

use crate::{client::Client, server::Server, story::python};

/// Seconds of presentation time, and what was seen or heard then.
struct Played {
    /// The middle pixel of each picture.
    pictures: Vec<(f64, [u8; 3])>,
    /// Samples at 48 kHz of each piece of sound.
    sounds: Vec<(f64, Vec<i16>)>,
}

fn play(path: &Path) -> Played {
    let description = format!(
        "filesrc location={} ! matroskademux name=demux \
         demux.video_0 ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! vp8dec ! videoconvert \
         ! video/x-raw,format=RGB ! appsink name=pictures sync=false \
         demux.audio_0 ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! opusdec ! audioconvert \
         ! audio/x-raw,format=S16LE,channels=1,rate=48000 ! appsink name=sounds sync=false",
        path.display()
    );
    let pipeline = gstreamer::parse::launch(&description).unwrap().downcast::<Pipeline>().unwrap();
    let sink = |name: &str| pipeline.by_name(name).unwrap().downcast::<AppSink>().unwrap();
    let (pictures, sounds) = (sink("pictures"), sink("sounds"));
    pipeline.set_state(State::Playing).unwrap();
    let mut played = Played { pictures: Vec::new(), sounds: Vec::new() };
    while let Ok(sample) = pictures.pull_sample() {
        let size = sample.caps().unwrap().structure(0).unwrap();
        let (width, height) =
            (size.get::<i32>("width").unwrap(), size.get::<i32>("height").unwrap());
        let buffer = sample.buffer().unwrap();
        let bytes = buffer.map_readable().unwrap();
        let line = bytes.len() / height as usize;
        let middle = line * (height as usize / 2) + width as usize / 2 * 3;
        let time = buffer.pts().unwrap().nseconds() as f64 / 1e9;
        played.pictures.push((time, bytes[middle..middle + 3].try_into().unwrap()));
    }
    while let Ok(sample) = sounds.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let bytes = buffer.map_readable().unwrap();
        let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        played.sounds.push((buffer.pts().unwrap().nseconds() as f64 / 1e9, samples.collect()));
    }
    pipeline.set_state(State::Null).unwrap();
    played
}

/// The moments before and at which something begins that was not so.
fn beginnings<T>(moments: &[(f64, T)], is: impl Fn(&T) -> bool) -> Vec<(f64, &(f64, T))> {
    let pairs = moments.windows(2).filter(|pair| !is(&pair[0].1) && is(&pair[1].1));
    pairs.map(|pair| (pair[0].0, &pair[1])).collect()
}

#[tokio::test]
async fn everybody_in_the_call_is_told_that_it_is_recorded() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut ann = Client::join(&server, "ann", "").await;
    let told = async |client: &mut Client| {
        let update = client.until(|message| match message {
            Response::RoomUpdate(update) => update.room,
            _ => None,
        });
        update.await.active_recording
    };
    let recording = server.relay.record("call", folder.path().join("call.webm")).await.unwrap();
    assert!(told(&mut ann).await);
    // Who comes later learns it as they come.
    let mut bob = Client::connect(&server.url, &server.token("bob"), "").await.unwrap();
    let joined = bob.until(|message| match message {
        Response::Join(joined) => joined.room,
        _ => None,
    });
    assert!(joined.await.active_recording);
    let summary = recording.stop().await.unwrap();
    assert!(summary.parts.is_empty(), "nobody said or showed anything: {summary:?}");
    assert!(!told(&mut ann).await);
}

#[tokio::test]
async fn a_recording_has_picture_and_sound_in_step() {
    check().unwrap();
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.webm");
    let ann = server.token("ann");
    let arguments = [server.url.as_str(), &ann, "20"];
    let record = async {
        while server.relay.rooms().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let recording = server.relay.record("call", path).await.unwrap();
        tokio::time::sleep(Duration::from_secs(14)).await;
        recording.stop().await.unwrap()
    };
    let (seen, summary) = tokio::join!(python("flash.py", &arguments), record);
    assert_eq!(seen.last().unwrap()["saw"], "end");
    let file = summary.parts.last().unwrap();
    assert!(file.extension().unwrap() == "webm" && summary.packets > 500, "{summary:?}");

    let played = tokio::task::spawn_blocking({
        let file = file.clone();
        move || play(&file)
    });
    let played = played.await.unwrap();
    assert!(played.pictures.len() > 80, "{} pictures", played.pictures.len());
    let red = |pixel: &[u8; 3]| pixel[0] > 130 && pixel[1] < 100 && pixel[2] < 100;
    let white = |pixel: &[u8; 3]| pixel.iter().all(|channel| *channel > 170);
    let known = played.pictures.iter().filter(|(_, pixel)| red(pixel) || white(pixel)).count();
    assert!(known * 10 > played.pictures.len() * 9, "{known} of {}", played.pictures.len());

    // 440 Hz crosses zero 880 times a second.
    let beep = |samples: &Vec<i16>| {
        let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 2000).count();
        let crossings = samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        let pitch = crossings as f64 / 2.0 / (samples.len() as f64 / 48_000.0);
        loud > samples.len() / 4 && (380.0..500.0).contains(&pitch)
    };
    // Somewhere between two pictures: in the middle, on average.
    let flashes = beginnings(&played.pictures, white);
    let flashes: Vec<f64> = flashes.iter().map(|(before, at)| (before + at.0) / 2.0).collect();
    let beeps = beginnings(&played.sounds, beep);
    let onset = |samples: &[i16]| {
        let first = samples.iter().position(|sample| sample.unsigned_abs() > 1000);
        first.unwrap_or_default() as f64 / 48_000.0
    };
    let beeps: Vec<f64> = beeps.iter().map(|(_, (at, samples))| at + onset(samples)).collect();
    assert!(flashes.len() >= 5 && beeps.len() >= 5, "{flashes:?} {beeps:?}");
    let mut apart: Vec<f64> = flashes
        .iter()
        .filter_map(|flash| {
            let distances = beeps.iter().map(|beep| beep - flash);
            distances.min_by(|a, b| a.abs().total_cmp(&b.abs()))
        })
        .filter(|distance| distance.abs() < 0.5)
        .collect();
    apart.sort_by(f64::total_cmp);
    let median = apart[apart.len() / 2];
    println!("sound after picture: median {:.0} ms of {apart:?}", median * 1000.0);
    // Negative: the sound is early.
    assert!((-0.045..=0.125).contains(&median), "{median} s apart: {apart:?}");
}
