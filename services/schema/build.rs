//! The migrations are compiled in: a file that comes makes them so anew.

fn main() {
    println!("cargo:rerun-if-changed=sqlite");
    println!("cargo:rerun-if-changed=postgres");
}
