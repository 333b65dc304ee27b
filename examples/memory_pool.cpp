/*
 * The C++ memory pool: elements of one type, whose memory is used again, with and without threads.
 */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <tmempool.hpp>

namespace {

/* A binary tree whose nodes come from a pool. */
struct Node {
	int key;
	std::string text;
	Node *left = nullptr;
	Node *right = nullptr;

	explicit Node(int k) : key(k), text("node " + std::to_string(k)) {}
};

using Nodes = tmempool::MemoryPool<Node, 4096>;

void insert(Nodes &nodes, Node **at, int key)
{
	while (*at != nullptr)
		at = key < (*at)->key ? &(*at)->left : &(*at)->right;
	*at = nodes.newElement(key);
}

/* Destroys the tree without recursion, and says how many there were. */
int destroy(Nodes &nodes, Node *root)
{
	int count = 0;
	while (root != nullptr) {
		if (root->left != nullptr) {
			/* The left child comes up, the root goes down to its right. */
			Node *left = root->left;
			root->left = left->right;
			left->right = root;
			root = left;
		} else {
			Node *right = root->right;
			nodes.deleteElement(root);
			root = right;
			++count;
		}
	}
	return count;
}

void expect(bool holds, const char *what)
{
	if (!holds) {
		std::printf("not true: %s\n", what);
		std::exit(EXIT_FAILURE);
	}
}

} /* namespace */

int main()
{
	tmempool::context program("program");

	std::puts("A tree of 10,000 nodes, built three times in the same memory:");
	{
		Nodes nodes(program);
		for (int round = 1; round <= 3; ++round) {
			Node *root = nullptr;
			for (unsigned i = 0; i < 10000; ++i)
				insert(nodes, &root, static_cast<int>(i * 2654435761u % 1000003u));
			std::printf("  round %d: the pool has %zu bytes\n", round,
				    program.total_size());
			expect(destroy(nodes, root) == 10000, "all nodes are there");
		}
	}

	std::puts("What was a secret is zeros when it has been given back:");
	{
		struct Secret {
			char key[48];
		};
		tmempool::MemoryPool<Secret, 1024, true> secrets(program);
		Secret *secret = secrets.newElement();
		std::snprintf(secret->key, sizeof(secret->key), "correct horse battery staple");
		secrets.deleteElement(secret);
		Secret *next = secrets.allocate();
		expect(next == secret, "the memory is used again");
		expect(std::string(next->key + 16, 32) == std::string(32, '\0'), "nothing is left");
		secrets.deallocate(next);
		std::puts("  it is");
	}

	std::puts("Four threads make and delete elements of one pool, with no lock of ours:");
	{
		tmempool::MemoryPool<Node, 4096, true, tmempool::threads::many> shared;
		std::atomic<int> made{0};
		std::vector<std::thread> threads;
		for (int t = 0; t < 4; ++t) {
			threads.emplace_back([&shared, &made, t] {
				std::vector<Node *> mine;
				for (int i = 0; i < 20000; ++i) {
					mine.push_back(shared.newElement(t * 20000 + i));
					++made;
					if (mine.size() > 50) {
						expect(mine.front()->key <= mine.back()->key, "in order");
						shared.deleteElement(mine.front());
						mine.erase(mine.begin());
					}
				}
				for (Node *node : mine)
					shared.deleteElement(node);
			});
		}
		for (std::thread &thread : threads)
			thread.join();
		std::printf("  %d elements were made\n", made.load());
	}
	return EXIT_SUCCESS;
}
