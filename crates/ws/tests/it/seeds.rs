//! The seeds of the fuzz targets, replayed without a fuzzer.

use std::fs;
use std::path::Path;

use healthmate_ws::fuzzing::ws_inbound;

#[test]
fn every_seed_of_ws_inbound_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/ws_inbound");
    let seeds: Vec<_> = fs::read_dir(folder)
        .expect("the folder of seeds")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(seeds.len() >= 20, "only {} seeds", seeds.len());
    for seed in seeds {
        println!("{}", seed.display());
        ws_inbound(&fs::read(&seed).expect("a readable seed"));
    }
}
