"""Random programs, against a model of owners in plain Python. Only buffers are referred to, so
that no context ever refers to one above it."""

import random

import pytest

import tmempool


class Model:
    """A chunk, or a reference to one: then `target` is set."""

    def __init__(self, parent=None, target=None, real=None, size=0):
        self.parent, self.target, self.real, self.size = None, target, real, size
        self.children, self.references, self.alive = [], [], True
        self.move(parent)

    def move(self, parent):
        if self.parent is not None:
            self.parent.children.remove(self)
        self.parent = parent
        if parent is not None:
            parent.children.insert(0, self)

    def refer(self, owner):
        self.references.insert(0, Model(owner, target=self))

    def free(self):
        for child in iter(lambda: self.children[0] if self.children else None, None):
            if child.references:
                # The newest reference becomes the parent.
                heir = child.references[0].parent
                child.references[0].free()
                child.move(heir)
            else:
                child.free()
        if self.target is not None:
            self.target.references.remove(self)
        self.alive = False
        self.move(None)

    def unlink(self, owner):
        held = [reference for reference in self.references if reference.parent is owner]
        if held:
            held[0].free()
        elif self.parent is not owner:
            return False
        elif self.references:
            heir = self.references[0].parent
            self.references[0].free()
            self.move(heir)
        else:
            self.free()
        return True

    def above(self, other):
        while other is not None and other is not self:
            other = other.parent
        return other is self

    def count(self):
        return 1 + sum(child.count() for child in self.children)

    def bytes(self):
        return self.size + sum(child.bytes() for child in self.children)


def check(chunks):
    for chunk in chunks:
        assert chunk.real.alive == chunk.alive
        if chunk.alive:
            above = chunk.parent.real if chunk.parent is not None else None
            assert chunk.real.parent == above
            assert chunk.real.reference_count == len(chunk.references)
            assert chunk.real.total_blocks == chunk.count()
            assert chunk.real.total_size == chunk.bytes()
        else:
            with pytest.raises(tmempool.StaleContextError):
                chunk.real.tree()


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    dice = random.Random(seed)
    chunks = [Model(real=tmempool.Context(f"root {i}")) for i in range(3)]
    views = []
    for step in range(150):
        contexts = [m for m in chunks if m.alive and isinstance(m.real, tmempool.Context)]
        buffers = [m for m in chunks if m.alive and isinstance(m.real, tmempool.Buffer)]
        verb = dice.choice(["child", "pool", "bytes", "bytes", "steal", "refer", "refer",
                            "unlink", "free", "view", "root"])
        owner = dice.choice(contexts) if contexts else None
        item = dice.choice(buffers) if buffers else None
        if verb == "root" or owner is None:
            chunks.append(Model(real=tmempool.Context(f"root {step}")))
        elif verb == "child":
            chunks.append(Model(owner, real=owner.real.child(f"child {step}")))
        elif verb == "pool":
            chunks.append(Model(owner, real=owner.real.pool(500)))
        elif verb == "bytes":
            size = dice.randrange(200)
            chunks.append(Model(owner, real=owner.real.bytes(size), size=size))
        elif verb == "steal":
            moved = dice.choice(contexts + buffers)
            if moved.above(owner):
                with pytest.raises(ValueError):
                    owner.real.steal(moved.real)
            else:
                owner.real.steal(moved.real)
                if moved.parent is not owner:
                    moved.move(owner)
        elif verb == "free":
            doomed = dice.choice(contexts + buffers)
            if doomed.references:
                with pytest.raises(tmempool.ReferencedError):
                    doomed.real.free()
            elif any(doomed.above(viewed) for viewed, _ in views):
                with pytest.raises(BufferError):
                    doomed.real.free()
            else:
                doomed.real.free()
                doomed.free()
        elif item is None:
            continue
        elif verb == "refer":
            item.real.reference(owner.real)
            item.refer(owner)
        elif verb == "view":
            # At most three, each given back some time.
            views.append((item, item.real.view()))
            if len(views) > 3:
                viewed, view = views.pop(0)
                assert bytes(view) == bytes(viewed.size)
                del view
        elif verb == "unlink":
            last = not item.references and item.parent is owner
            if last and any(viewed is item for viewed, _ in views):
                with pytest.raises(BufferError):
                    item.real.unlink(owner.real)
            elif item.unlink(owner):
                item.real.unlink(owner.real)
            else:
                with pytest.raises((ValueError, BufferError)):
                    item.real.unlink(owner.real)
        check(chunks)
    views.clear()
    for chunk in chunks:
        if chunk.alive and chunk.parent is None and not chunk.references:
            chunk.real.free()
            chunk.free()
    check(chunks)
