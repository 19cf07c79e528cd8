package linear

import (
	"os"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// op is an operation in the time from call to ret.
func op(call, ret int64, r Request, a Answer) porcupine.Operation {
	return porcupine.Operation{Input: r, Output: a, Call: call, Return: ret}
}

// hold is a request that got a fence in the time from call to ret, and its release
// 10 later, which takes 1.
func hold(id, call, ret, fence int64, r Request) []porcupine.Operation {
	r.Hold, r.Act = id, Acquire
	end := r
	end.Act = Release
	return []porcupine.Operation{op(call, ret, r, Answer{OK, fence}), op(ret+10, ret+11, end, Answer{Result: OK})}
}

// TestModels checks that the models tell what may happen from what must not.
func TestModels(t *testing.T) {
	writer, reader := Request{}, Request{Shared: true}
	of := func(n int64) Request { return Request{N: n} }
	lost := func(id, call, believed, told, fence int64, r Request) []porcupine.Operation {
		h := hold(id, call, call+1, fence, r)
		h[1].Input, h[1].Call, h[1].Return = Request{Act: Expire, Hold: id, Shared: r.Shared, N: r.N}, believed, told
		return h
	}
	try := func(r Request) Request { r.Act, r.Hold = Try, 99; return r }
	excused := func(r Request) Request { r.Excused = true; return r }
	list := func(parts ...[]porcupine.Operation) (all []porcupine.Operation) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	one := func(o porcupine.Operation) []porcupine.Operation { return []porcupine.Operation{o} }
	locked := func(call, ret int64, r Request) []porcupine.Operation {
		return one(op(call, ret, try(r), Answer{Result: Locked}))
	}
	resize := func(call, ret, n int64) []porcupine.Operation {
		return one(op(call, ret, Request{Act: Resize, N: n}, Answer{Result: OK}))
	}
	unlockLost := func(id, call, ret int64, r Request) []porcupine.Operation {
		r.Act, r.Hold = Release, id
		return one(op(call, ret, r, Answer{Result: Lost}))
	}

	mutex, rw, ten := Mutex(), RWMutex(), Semaphore(10)
	back := porcupine.Illegal
	if !permitFencesGrow {
		back = porcupine.Ok
	}
	for name, c := range map[string]struct {
		model porcupine.Model
		ops   []porcupine.Operation
		want  porcupine.CheckResult
	}{
		"mutex: one after the other":           {mutex, list(hold(1, 0, 1, 5, writer), hold(2, 2, 13, 6, writer)), porcupine.Ok},
		"mutex: two hold":                      {mutex, list(hold(1, 0, 1, 5, writer), hold(2, 2, 9, 6, writer)), porcupine.Illegal},
		"mutex: two hold since one is granted": {mutex, list(hold(1, 0, 20, 5, writer), hold(2, 1, 25, 6, writer)), porcupine.Illegal},
		"mutex: a fence repeats":               {mutex, list(hold(1, 0, 1, 5, writer), hold(2, 20, 21, 5, writer)), porcupine.Illegal},
		"mutex: a fence goes back":             {mutex, list(hold(1, 0, 1, 5, writer), hold(2, 20, 21, 4, writer)), porcupine.Illegal},
		"mutex: the next after a loss":         {mutex, list(lost(1, 0, 5, 30, 5, writer), hold(2, 2, 9, 6, writer)), porcupine.Ok},
		"mutex: the next after a death":        {mutex, list(lost(1, 0, 5, Forever, 5, writer), hold(2, 2, 9, 6, writer)), porcupine.Ok},
		"mutex: the next before the loss":      {mutex, list(lost(1, 0, 15, 30, 5, writer), hold(2, 2, 9, 6, writer)), porcupine.Illegal},
		"mutex: two dead hold":                 {mutex, list(lost(1, 0, 15, Forever, 5, writer), lost(2, 2, 15, Forever, 6, writer)), porcupine.Illegal},
		"mutex: lost, and told so":             {mutex, list(lost(1, 0, 5, 30, 5, writer), unlockLost(1, 31, 32, writer)), porcupine.Ok},
		"mutex: told of a loss while held":     {mutex, list(lost(1, 0, 20, Forever, 5, writer), unlockLost(1, 5, 9, writer)), porcupine.Illegal},
		"mutex: unlocked after a loss":         {mutex, list(hold(1, 0, 1, 5, writer), lost(1, 0, 1, 9, 6, writer)[1:]), porcupine.Illegal},
		"mutex: a try, held":                   {mutex, list(hold(1, 0, 1, 5, writer), locked(5, 6, writer)), porcupine.Ok},
		"mutex: a try, awaited":                {mutex, locked(5, 6, excused(writer)), porcupine.Ok},
		"mutex: a try, neither":                {mutex, list(hold(1, 0, 1, 5, writer), locked(13, 14, writer)), porcupine.Illegal},

		"rw: readers together":              {rw, list(hold(1, 0, 1, 5, reader), hold(2, 2, 3, 5, reader), hold(3, 4, 15, 6, writer)), porcupine.Ok},
		"rw: a writer beside a reader":      {rw, list(hold(1, 0, 1, 5, reader), hold(3, 4, 9, 6, writer)), porcupine.Illegal},
		"rw: a reader beside a writer":      {rw, list(hold(1, 0, 1, 5, writer), hold(3, 4, 9, 6, reader)), porcupine.Illegal},
		"rw: two writers":                   {rw, list(hold(1, 0, 1, 5, writer), hold(3, 4, 9, 6, writer)), porcupine.Illegal},
		"rw: a writer with a reader's":      {rw, list(hold(1, 0, 1, 5, reader), hold(3, 14, 19, 5, writer)), porcupine.Illegal},
		"rw: a reader with a writer's":      {rw, list(hold(1, 0, 1, 5, writer), hold(3, 14, 19, 5, reader)), porcupine.Illegal},
		"rw: a writer after a dead reader":  {rw, list(lost(1, 0, 5, Forever, 5, reader), hold(2, 2, 9, 6, writer)), porcupine.Ok},
		"rw: a writer beside a lost reader": {rw, list(lost(1, 0, 15, 20, 5, reader), hold(2, 2, 9, 6, writer)), porcupine.Illegal},
		"rw: a reader's try, read":          {rw, list(hold(1, 0, 1, 5, reader), locked(5, 6, reader)), porcupine.Illegal},
		"rw: a writer's try, read":          {rw, list(hold(1, 0, 1, 5, reader), locked(5, 6, writer)), porcupine.Ok},
		"rw: a reader's try, written":       {rw, list(hold(1, 0, 1, 5, writer), locked(5, 6, reader)), porcupine.Ok},
		"rw: told of a loss while it reads": {rw, list(lost(1, 0, 20, Forever, 5, reader), unlockLost(1, 5, 9, reader)), porcupine.Illegal},

		"semaphore: ten of ten":              {ten, list(hold(1, 0, 1, 5, of(4)), hold(2, 2, 3, 4, of(6))), porcupine.Ok},
		"semaphore: an eleventh":             {ten, list(hold(1, 0, 1, 5, of(4)), hold(2, 2, 3, 6, of(6)), hold(3, 4, 5, 7, of(1))), porcupine.Illegal},
		"semaphore: after a release":         {ten, list(hold(1, 0, 1, 5, of(4)), hold(2, 2, 3, 6, of(6)), hold(3, 4, 12, 7, of(4))), porcupine.Ok},
		"semaphore: a fence repeats":         {ten, list(hold(1, 0, 1, 5, of(1)), hold(2, 2, 3, 5, of(1))), porcupine.Illegal},
		"semaphore: a fence of an ended one": {ten, list(hold(1, 0, 1, 5, of(1)), hold(2, 20, 23, 5, of(1))), porcupine.Illegal},
		"semaphore: a fence goes back":       {ten, list(hold(1, 0, 1, 5, of(1)), hold(2, 20, 23, 4, of(1))), back},
		"semaphore: after a death":           {ten, list(lost(1, 0, 5, Forever, 5, of(8)), hold(2, 2, 9, 6, of(8))), porcupine.Ok},
		"semaphore: beside a lost one":       {ten, list(lost(1, 0, 15, 20, 5, of(8)), hold(2, 2, 9, 6, of(8))), porcupine.Illegal},
		"semaphore: a try, full":             {ten, list(hold(1, 0, 1, 5, of(8)), locked(4, 5, of(3))), porcupine.Ok},
		"semaphore: a try, not full":         {ten, list(hold(1, 0, 1, 5, of(8)), locked(4, 5, of(2))), porcupine.Illegal},
		"semaphore: grown":                   {ten, list(resize(0, 1, 12), hold(1, 2, 3, 5, of(12))), porcupine.Ok},
		"semaphore: shrunk":                  {ten, list(resize(0, 1, 8), hold(1, 2, 3, 5, of(9))), porcupine.Illegal},
		"semaphore: shrunk below its holds":  {ten, list(hold(1, 0, 1, 5, of(9)), resize(2, 3, 8), locked(4, 5, of(1))), porcupine.Ok},
		"semaphore: let in while too full":   {ten, list(hold(1, 0, 1, 5, of(9)), resize(2, 3, 9), hold(2, 4, 5, 6, of(1))), porcupine.Illegal},
		"semaphore: too large":               {ten, one(op(0, 1, Request{Act: Acquire, Hold: 1, N: 11}, Answer{Result: Size})), porcupine.Ok},
		"semaphore: not too large":           {ten, one(op(0, 1, Request{Act: Acquire, Hold: 1, N: 10}, Answer{Result: Size})), porcupine.Illegal},
	} {
		got := porcupine.CheckOperationsTimeout(c.model, c.ops, Patience)
		if repeats(c.ops) != nil {
			got = porcupine.Illegal
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestCheckShowsWhatIsWrong: a wrong history leaves a text and a picture.
func TestCheckShowsWhatIsWrong(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	err := Check(Mutex(), append(hold(1, 0, 1, 5, Request{}), hold(2, 2, 3, 6, Request{})...))
	if err == nil {
		t.Fatal("two hold the key, and it is not noticed")
	}
	text, path, _ := strings.Cut(err.Error(), "\npicture: ")
	if !strings.Contains(text, "acquire #2: ok, fence 6") {
		t.Errorf("the error does not name the second hold: %v", err)
	}
	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), "acquire #2") {
		t.Errorf("the picture does not show the second hold: %v", err)
	}
}
