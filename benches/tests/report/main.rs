//! Reports: findings, tables, pages and plots, from results made by arithmetic.

mod findings;
mod pages;
mod sample;
mod schema;
mod screenshots;
