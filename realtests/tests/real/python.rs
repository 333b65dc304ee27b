//! Python over talloc: the talloc module's own reports, ldb in memory, and Samba's generated
//! bindings, which parent, reference and free trees as Python's objects come and go.

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step};

pub fn trials() -> Vec<Trial> {
    vec![
        comparison("python talloc", &["python3"], talloc),
        comparison("python ldb", &["python3"], ldb),
        comparison("python samba", &["python3"], samba),
    ]
}

fn talloc(lab: &mut Lab) -> Step<()> {
    lab.run(&["python3", "-c", "import talloc; print(sorted(dir(talloc)))"])?;
    lab.write(
        "tree.py",
        r#"
import talloc
talloc.enable_null_tracking()
from samba import param, security, credentials
from samba.dcerpc import security as sec
lp = param.LoadParm()
talloc.report_full(lp)
print(talloc.total_blocks(lp))
tokens = [sec.token() for _ in range(50)]
for t in tokens:
    t.sids = [sec.dom_sid("S-1-5-32-%d" % n) for n in range(20)]
    t.num_sids = 20
print([talloc.total_blocks(t) for t in tokens[:5]])
talloc.report_full(tokens[3])
half = [t.sids for t in tokens[::2]]
del tokens, t
print([str(s[7]) for s in half][:3])
print(talloc.total_blocks(half[0][0]))
talloc.report_full(None)
"#,
    )?;
    lab.run(&["python3", "tree.py"])?;
    Ok(())
}

fn ldb(lab: &mut Lab) -> Step<()> {
    lab.write(
        "db.py",
        r#"
import ldb, threading
def work(name):
    db = ldb.Ldb("tdb://%s.ldb" % name)
    for n in range(300):
        db.add({"dn": "cn=r%d,dc=%s" % (n, name), "value": [str(n), "x" * (n + 1)]})
    db.transaction_start()
    for n in range(0, 300, 3):
        m = ldb.Message(ldb.Dn(db, "cn=r%d,dc=%s" % (n, name)))
        m["value"] = ldb.MessageElement("changed", ldb.FLAG_MOD_REPLACE, "value")
        db.modify(m)
    db.transaction_commit()
    found = db.search("dc=%s" % name, ldb.SCOPE_SUBTREE, "(value=changed)")
    kept[name] = sorted(str(m.dn) for m in found)
kept = {}
work("alone")
threads = [threading.Thread(target=work, args=("t%d" % n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print({name: (len(k), k[:2]) for name, k in sorted(kept.items())})
dn = ldb.Dn(ldb.Ldb(), "cn=Foo\\,bar,dc=example")
print(dn.get_casefold(), dn.parent(), dn.is_child_of(dn.parent()), dn.canonical_str())
try:
    ldb.Dn(ldb.Ldb(), "not a dn at all")
except ValueError as error:
    print(error)
"#,
    )?;
    lab.run(&["python3", "db.py"])?;
    Ok(())
}

fn samba(lab: &mut Lab) -> Step<()> {
    lab.write(
        "ndr.py",
        r#"
import gc, talloc
from samba.ndr import ndr_pack, ndr_unpack, ndr_print
from samba.dcerpc import security, drsuapi, misc
from samba import param, NTSTATUSError
sddl = "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;;0x1200a9;;;WD)"
domain = security.dom_sid("S-1-5-21-1-2-3")
for n in range(300):
    sd = security.descriptor.from_sddl(sddl, domain)
    blob = ndr_pack(sd)
    again = ndr_unpack(security.descriptor, blob)
    assert again.as_sddl(domain) == sd.as_sddl(domain)
    aces = again.dacl.aces
    del again
    gc.collect() if n % 100 == 0 else None
print(ndr_print(sd))
print(aces[1].trustee, talloc.total_blocks(sd))
request = drsuapi.DsGetNCChangesRequest8()
request.naming_context = drsuapi.DsReplicaObjectIdentifier()
request.naming_context.dn = "dc=example"
request.destination_dsa_guid = misc.GUID("12345678-1234-1234-1234-123456789abc")
print(ndr_print(request.naming_context))
try:
    ndr_unpack(security.descriptor, b"\x01\x00garbage")
except (NTSTATUSError, RuntimeError) as error:
    print(error)
"#,
    )?;
    lab.run(&["python3", "ndr.py"])?;
    Ok(())
}
