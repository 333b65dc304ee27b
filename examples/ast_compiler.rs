//! A compiler for sums and products, whose syntax tree has a million nodes and is freed at once.
//!
//!     cargo run --release --example ast_compiler
//!
//! The nodes refer to each other, and lie side by side in the memory of one context. The code that is
//! made from them belongs to another, and outlives them.

use std::time::Instant;

use tmempool::{Context, CtxVec};

/// A node refers to those below it: all live as long as their context.
#[derive(Clone, Copy)]
enum Node<'a> {
    Number(u32),
    Sum(&'a Node<'a>, &'a Node<'a>),
    Product(&'a Node<'a>, &'a Node<'a>),
}

/// For a machine with a stack.
#[derive(Clone, Copy)]
enum Instruction {
    Push(u32),
    Add,
    Multiply,
}

/// Reads `sum = product {"+" product}`, `product = atom {"*" atom}`, `atom = number | "(" sum ")"`.
struct Parser<'s, 'a> {
    text: &'s [u8],
    at: usize,
    ast: &'a Context,
    nodes: usize,
}

impl<'a> Parser<'_, 'a> {
    fn node(&mut self, node: Node<'a>) -> &'a Node<'a> {
        self.nodes += 1;
        self.ast.alloc_no_drop(node)
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn sum(&mut self) -> Result<&'a Node<'a>, String> {
        let mut left = self.product()?;
        while self.accept(b'+') {
            let right = self.product()?;
            left = self.node(Node::Sum(left, right));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<&'a Node<'a>, String> {
        let mut left = self.atom()?;
        while self.accept(b'*') {
            let right = self.atom()?;
            left = self.node(Node::Product(left, right));
        }
        Ok(left)
    }

    fn atom(&mut self) -> Result<&'a Node<'a>, String> {
        if self.accept(b'(') {
            let inside = self.sum()?;
            return if self.accept(b')') { Ok(inside) } else { Err(format!("no ) at {}", self.at)) };
        }
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut number = 0_u32;
        for byte in &self.text[self.at..self.at + digits] {
            number = number.wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
        }
        self.at += digits;
        if digits == 0 {
            Err(format!("no number at {}", self.at))
        } else {
            Ok(self.node(Node::Number(number)))
        }
    }
}

/// The code for `root`, operands before their operators, without recursion: a tree may be deep on one side.
fn compile<'c>(root: &Node<'_>, code: &'c Context) -> CtxVec<'c, Instruction> {
    let mut made = CtxVec::new_in(code);
    let scratch = Context::new("scratch");
    let mut open = CtxVec::new_in(&scratch);
    open.push(root);
    while let Some(node) = open.pop() {
        // Backwards: an operator comes last, and so does its right operand.
        match *node {
            Node::Number(number) => made.push(Instruction::Push(number)),
            Node::Sum(left, right) => {
                made.push(Instruction::Add);
                open.extend([left, right]);
            }
            Node::Product(left, right) => {
                made.push(Instruction::Multiply);
                open.extend([left, right]);
            }
        }
    }
    made.reverse();
    made
}

fn run(code: &[Instruction]) -> Option<u32> {
    let mut stack = Vec::new();
    for instruction in code {
        let value = match *instruction {
            Instruction::Push(number) => number,
            Instruction::Add => stack.pop().zip(stack.pop()).map(|(b, a): (u32, u32)| a.wrapping_add(b))?,
            Instruction::Multiply => {
                stack.pop().zip(stack.pop()).map(|(b, a): (u32, u32)| a.wrapping_mul(b))?
            }
        };
        stack.push(value);
    }
    stack.pop()
}

/// `(1*2+3)*(4+5)+…`, for a tree of at least a million nodes, and what it comes to.
fn program(context: &Context) -> (&str, u32) {
    let mut text = tmempool::CtxString::new_in(context);
    let mut sum = 0_u32;
    for i in 0..100_100_u32 {
        text.push_str(if i > 0 { "+" } else { "" });
        text.push_str(&tmempool::format_in!(context, "({i}*2+3)*(4+{})", i % 10));
        sum = sum.wrapping_add((i.wrapping_mul(2).wrapping_add(3)).wrapping_mul(4 + i % 10));
    }
    (text.into_str(), sum)
}

fn main() -> Result<(), String> {
    let compiler = Context::new("compiler");
    let source = compiler.child("source");
    let code = compiler.child("code");
    let (text, expected) = program(&source);

    let begun = Instant::now();
    let ast = compiler.child("ast");
    let mut parser = Parser { text: text.as_bytes(), at: 0, ast: &ast, nodes: 0 };
    let root = parser.sum()?;
    let nodes = parser.nodes;
    println!("{nodes} nodes from {} bytes in {:?}", text.len(), begun.elapsed());

    let begun = Instant::now();
    let instructions = compile(root, &code);
    println!("{} instructions in {:?}", instructions.len(), begun.elapsed());
    print!("{}", compiler.report_depth(1));

    let begun = Instant::now();
    drop(ast);
    println!("all nodes freed in {:?}", begun.elapsed());
    print!("{}", compiler.report_depth(1));

    let result = run(&instructions).ok_or("an empty stack")?;
    println!("the program comes to {result}");
    if result != expected || nodes < 1_000_000 - 1 {
        return Err(format!("expected {expected}, and a million nodes"));
    }
    Ok(())
}
