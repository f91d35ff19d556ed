//! Reports: findings, tables, pages and plots, from results made by arithmetic.

mod findings;
mod merging;
mod pages;
mod readme;
mod sample;
mod schema;
mod screenshots;
