//! Reports: findings, tables, pages and plots, from results made by arithmetic.

mod findings;
mod sample;
