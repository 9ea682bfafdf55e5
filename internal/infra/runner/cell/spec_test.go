package cell_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/infra/runner/cell"
)

func TestASpecSurvivesItsArguments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[^\x00]{0,20}`)
		yes := rapid.Bool()
		number := rapid.Uint64()
		want := cell.Spec{
			Process1: yes.Draw(t, "process1"), Owner: yes.Draw(t, "owner"), Mounts: yes.Draw(t, "mounts"), OldProc: yes.Draw(t, "oldproc"),
			Loopback: yes.Draw(t, "loopback"), Landlock: yes.Draw(t, "landlock"), Raw: yes.Draw(t, "raw"),
			Proxy: rapid.IntRange(0, 65535).Draw(t, "proxy"), User: rapid.IntRange(-1, 1<<31-1).Draw(t, "user"),
			Show: rapid.SliceOf(text).Draw(t, "show"), Read: rapid.SliceOf(text).Draw(t, "read"), Write: rapid.SliceOf(text).Draw(t, "write"),
			Dir: text.Draw(t, "dir"), Program: text.Draw(t, "program"), Args: rapid.SliceOf(text).Draw(t, "args"),
			Memory: number.Draw(t, "memory"), Files: number.Draw(t, "files"), Procs: number.Draw(t, "procs"), Size: number.Draw(t, "size"), CPU: number.Draw(t, "cpu"),
		}
		argv := want.Argv(cell.StageHold)
		if argv[0] != cell.StageHold {
			t.Fatal("the stage is missing")
		}
		got, err := cell.Parse(argv[1:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestMalformedArgumentsAreNoSpec(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{nil, {"--"}, {"dir=/"}, {"unknown", "--", "x"}, {"memory=x", "--", "x"}, {"raw=1", "--", "x"}, {"user=", "--", "x"}} {
		if _, err := cell.Parse(argv); err == nil {
			t.Errorf("%q is a spec", argv)
		}
	}
}

func TestMessagesSurvivePacking(t *testing.T) {
	t.Parallel()
	if got, ok := cell.Unpack(cell.Pack(cell.Dial, 1, 1<<63), 2); !ok || got[0] != 1 || got[1] != 1<<63 {
		t.Errorf("%v, %t", got, ok)
	}
	for _, b := range [][]byte{nil, {cell.Dial}, make([]byte, 10)} {
		if _, ok := cell.Unpack(b, 1); ok {
			t.Errorf("%v was unpacked", b)
		}
	}
}
