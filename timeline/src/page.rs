//! A sheet as a page: one file that needs no network and no scripts, readable with a keyboard, a screen reader and on paper.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use poetry::event::Wait;

use crate::sheet::{Program, Sheet, State};
use crate::{svg, words};

/// Renders a sheet as a page.
pub fn page(sheet: &Sheet, title: &str) -> String {
    pages(&[(sheet, title, "")], title)
}

/// Renders several sheets, each with a title and a paragraph, below each other.
pub fn pages(sheets: &[(&Sheet, &str, &str)], title: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(svg::STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (title) }
                (legend(sheets))
                @for &(sheet, title, words) in sheets { (section(sheet, title, words, sheets.len() > 1)) }
            }
        }
    };
    page.into_string()
}

fn section(sheet: &Sheet, title: &str, words: &str, heading: bool) -> Markup {
    html! {
        section {
            @if heading { h2 { (title) } }
            @if !words.is_empty() { p { (words) } }
            (missing(sheet))
            div.scroll tabindex="0" role="group" aria-label=(title) { (svg::drawing(sheet, title, None)) }
            (table(sheet))
        }
    }
}

fn missing(sheet: &Sheet) -> Markup {
    html! {
        @if sheet.dropped > 0 {
            p.warning { (words::counted(sheet.dropped, "event")) " could not be recorded, so spans are missing or too long." }
        }
        @if sheet.cut {
            p.warning { "A record was cut: its program ended before it could write the rest." }
        }
    }
}

/// Explains how work and the waits that occur are drawn.
fn legend(sheets: &[(&Sheet, &str, &str)]) -> Markup {
    let waits: BTreeSet<Wait> = sheets.iter().flat_map(|(sheet, ..)| waits(sheet)).collect();
    html! {
        ul.legend {
            li {
                svg.sheet viewBox="0 0 34 16" aria-hidden="true" { rect.h1 x="8" y="2" width="12" height="12" {} rect.h2 x="21" y="2" width="2" height="12" {} }
                " a thread runs the task; turns shorter than the least width are drawn that wide"
            }
            @for wait in waits {
                li {
                    svg.sheet viewBox="0 0 34 16" aria-hidden="true" { line class={ "wait " (svg::class(wait)) } x1="0" x2="34" y1="8" y2="8" {} }
                    " the task " (words::wait(wait))
                }
            }
            li {
                svg.sheet viewBox="0 0 34 16" aria-hidden="true" { circle.end cx="17" cy="8" r="3" {} }
                " ended well"
            }
            li {
                svg.sheet viewBox="0 0 34 16" aria-hidden="true" { path.fail d="M14 5l6 6m0 -6l-6 6" {} }
                " failed, with the cause beside it"
            }
        }
    }
}

fn waits(sheet: &Sheet) -> impl Iterator<Item = Wait> {
    let threads = sheet.programs.iter().flat_map(|program| &program.threads);
    let tasks = threads.flat_map(|thread| &thread.tasks);
    let spans = tasks.flat_map(|task| &task.spans);
    spans.filter_map(|span| match span.state {
        State::Waits(wait) => Some(wait),
        State::Works => None,
    })
}

fn table(sheet: &Sheet) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="The figures of the sheet" {
            table {
                caption { "The figures of the sheet, which is " (words::time(sheet.length)) " long" }
                thead { tr {
                    th scope="col" { "Program" } th scope="col" { "Threads" } th scope="col" { "Tasks" }
                    th scope="col" { "At once" } th scope="col" { "Worked" } th scope="col" { "Longest turn" }
                } }
                tbody { @for program in &sheet.programs { (row(program)) } }
            }
        }
    }
}

fn row(program: &Program) -> Markup {
    html! {
        tr {
            th scope="row" { (program.model) " · " (words::role(program.role)) }
            td { (program.threads.len()) }
            td { (program.tasks()) }
            td { (program.most_at_once()) }
            td { (words::time(program.busy())) }
            td { @if let Some((.., turn)) = program.longest_turn() { (words::time(turn.length())) } @else { "not recorded" } }
        }
    }
}
