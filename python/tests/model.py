"""Owners in plain Python, to hold the package against."""

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

    def names(self):
        """The tree as nested names and sizes."""
        if self.target is not None:
            return ("->" + self.target.real.name, [])
        return (self.real.name, [child.names() for child in self.children])


def names(node):
    if node.is_reference:
        return ("->" + node.name, [])
    return (node.name, [names(child) for child in node.children])


class World:
    """Chunks that a random program works on, each with its model. Only buffers are referred to, so
    that no context ever refers to one above it."""

    VERBS = ("child", "pool", "bytes", "bytes", "string", "steal", "refer", "refer", "unlink",
             "unlink", "free", "view", "unview", "root")

    def __init__(self, name):
        self.name = name
        self.chunks = [Model(real=tmempool.Context(f"{name} root"))]
        self.views = []
        self.made = 0

    def _pick(self, kind, number):
        found = [m for m in self.chunks if m.alive and isinstance(m.real, kind)]
        return found[number % len(found)] if found else None

    def _add(self, parent, make, size=0):
        self.made += 1
        self.chunks.append(Model(parent, real=make(f"{self.name} {self.made}"), size=size))

    def _viewed_below(self, top):
        return any(top.above(viewed) for viewed, _ in self.views)

    def step(self, verb, a, b):
        owner = self._pick(tmempool.Context, a)
        if verb == "root" or owner is None:
            self._add(None, tmempool.Context)
        elif verb == "child":
            self._add(owner, owner.real.child)
        elif verb == "pool":
            self._add(owner, lambda name: owner.real.pool(b, name))
        elif verb == "bytes":
            self._add(owner, lambda name: owner.real.bytes(b, name), b)
        elif verb == "string":
            text = f"string {b}"
            self._add(owner, lambda name: owner.real.string(text), len(text) + 1)
        elif verb == "steal":
            moved = self._pick(tmempool.Handle, b)
            if moved.above(owner):
                with pytest.raises(ValueError):
                    owner.real.steal(moved.real)
            else:
                owner.real.steal(moved.real)
                moved.move(owner)
        elif verb == "free":
            doomed = self._pick(tmempool.Handle, b)
            if doomed.references:
                with pytest.raises(tmempool.ReferencedError):
                    doomed.real.free()
            elif self._viewed_below(doomed):
                with pytest.raises(BufferError):
                    doomed.real.free()
            else:
                doomed.real.free()
                doomed.free()
        else:
            item = self._pick(tmempool.Buffer, b)
            if item is not None:
                getattr(self, verb)(item, owner, a)
        return self

    def refer(self, item, owner, _):
        item.real.reference(owner.real)
        item.refer(owner)

    def view(self, item, *_):
        view = item.real.view()
        if len(view):
            view[-1] = 0
        self.views.append((item, view))

    def unview(self, item, owner, number):
        if self.views:
            viewed, view = self.views.pop(number % len(self.views))
            assert len(view) == viewed.real.size == viewed.size
            del view

    def unlink(self, item, owner, _):
        if not item.references and item.parent is owner and self._viewed_below(item):
            with pytest.raises(BufferError):
                item.real.unlink(owner.real)
        elif item.unlink(owner):
            item.real.unlink(owner.real)
        else:
            with pytest.raises((ValueError, BufferError)):
                item.real.unlink(owner.real)

    def check(self):
        for chunk in self.chunks:
            real = chunk.real
            assert real.alive == chunk.alive
            if chunk.alive:
                assert real.parent == (chunk.parent.real if chunk.parent is not None else None)
                assert real.reference_count == len(chunk.references)
                assert real.total_blocks == chunk.count()
                assert real.total_size == chunk.bytes()
                if chunk.parent is None:
                    assert names(real.tree()) == chunk.names()
            else:
                with pytest.raises(tmempool.StaleContextError, match=r"was freed (at .*\.py:\d+|long ago)"):
                    real.tree()
        # The past is checked once.
        self.chunks = [chunk for chunk in self.chunks if chunk.alive]

    def end(self):
        self.views.clear()
        for chunk in list(self.chunks):
            while chunk.alive and chunk.references:
                owner = chunk.references[0].parent
                chunk.unlink(owner)
                chunk.real.unlink(owner.real)
        for chunk in self.chunks:
            if chunk.alive and chunk.parent is None:
                chunk.real.free()
                chunk.free()
        self.check()
        assert self.chunks == []
