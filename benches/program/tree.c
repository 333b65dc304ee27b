/*
 * Trees: built top down, freed at once. The bare variant links its nodes by
 * hand and walks them to free them; both variants write the same links.
 */
#include "bench.h"

struct node {
	struct node *first_child;
	struct node *next;
	uint64_t serial;
	uint64_t unused;
};

enum { FANOUT = 8 };

ALWAYS_INLINE struct node *node_new(enum via via, struct node *parent, uint64_t serial)
{
	struct node *node = object_new(via, parent, sizeof(*node));

	node->first_child = NULL;
	node->next = NULL;
	node->serial = serial;
	if (parent != NULL) {
		node->next = parent->first_child;
		parent->first_child = node;
	}
	return node;
}

/* Builds `levels` more levels below `node`; returns how many nodes that made. */
static size_t grow_talloc(struct node *node, int levels)
{
	size_t made = 0;

	for (int i = 0; levels > 0 && i < FANOUT; i++) {
		made += 1 + grow_talloc(node_new(TALLOC, node, (uint64_t)levels), levels - 1);
	}
	return made;
}

static size_t grow_bare(struct node *node, int levels)
{
	size_t made = 0;

	for (int i = 0; levels > 0 && i < FANOUT; i++) {
		made += 1 + grow_bare(node_new(BARE, node, (uint64_t)levels), levels - 1);
	}
	return made;
}

static void free_bare(struct node *node)
{
	struct node *next;

	for (struct node *child = node->first_child; child != NULL; child = next) {
		next = child->next;
		free_bare(child);
	}
	free(node);
}

ALWAYS_INLINE void bushy(struct pass *pass, enum via via)
{
	struct node *root;
	size_t nodes = 1;

	clock_start(pass);
	root = node_new(via, NULL, 0);
	nodes += via == TALLOC ? grow_talloc(root, (int)pass->size)
			       : grow_bare(root, (int)pass->size);
	check(root->first_child->serial == pass->size, "bushy: contents");
	if (via == TALLOC) {
		check(!pass->verify || talloc_total_blocks(root) == nodes, "bushy: blocks");
		expect_death(pass, root->first_child);
		check(talloc_free(root) == 0, "bushy: free");
	} else {
		free_bare(root);
	}
	clock_stop(pass, nodes);
}

ALWAYS_INLINE void chain(struct pass *pass, enum via via)
{
	struct node *root, *node;

	clock_start(pass);
	root = node = node_new(via, NULL, 0);
	for (size_t i = 1; i < pass->size; i++) {
		node = node_new(via, node, i);
	}
	check(node->serial == pass->size - 1, "chain: contents");
	if (via == TALLOC) {
		check(!pass->verify || talloc_total_blocks(root) == pass->size, "chain: blocks");
		expect_death(pass, node);
		check(talloc_free(root) == 0, "chain: free");
	} else {
		for (node = root; node != NULL; node = root) {
			root = node->first_child;
			free(node);
		}
	}
	clock_stop(pass, pass->size);
}

BOTH(bushy, bushy)
BOTH(chain, chain)

const struct workload tree_workloads[] = {
	{ "tree/bushy", "node", 6, WARM, bushy_talloc, bushy_bare },
	{ "tree/chain", "node", 100000, DEEP, chain_talloc, chain_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
