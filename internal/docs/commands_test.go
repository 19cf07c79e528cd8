package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestCommands checks that directories, programs, flags and tests in the commands of the pages exist.
// Commands start at the root of the repository.
func TestCommands(t *testing.T) {
	n := 0
	for _, block := range blocks(t, "sh") {
		dir := "."
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, " #")
			for part := range strings.SplitSeq(line, " | ") {
				for command := range strings.SplitSeq(part, "&&") {
					if words := strings.Fields(command); len(words) > 0 {
						dir = check(t, dir, words)
						n++
					}
				}
			}
		}
	}
	for _, m := range regexp.MustCompile("`((?:REDIS_URL=\\S+ )?go (?:run|test|get|install) [^`]*)`").FindAllStringSubmatch(prose(t), -1) {
		check(t, ".", strings.Fields(m[1]))
		n++
	}
	if n < 10 {
		t.Errorf("the pages have %d commands", n)
	}
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// check checks a command in dir, and returns the directory of the next command.
func check(t *testing.T, dir string, words []string) string {
	t.Helper()
	for len(words) > 1 && (assignment.MatchString(words[0]) || words[0] == "export") {
		words = words[1:]
	}
	command := strings.Join(words, " ")
	switch {
	case assignment.MatchString(command):
	case strings.HasPrefix(command, "git clone https://"+module(t)) || command == "go get "+module(t):
	case words[0] == "cd" && strings.HasSuffix(module(t), "/"+words[1]): // the directory of git clone
	case words[0] == "cd" && exists(path.Join(dir, words[1])):
		return path.Join(dir, words[1])
	case strings.HasPrefix(command, "go run "), strings.HasPrefix(command, "go install "):
		runs(t, path.Join(dir, words[2]), words[3:])
	case strings.HasPrefix(command, "go test "):
		tests(t, dir, words[2:])
	case strings.Contains(words[0], "/") && exists(path.Join(dir, words[0])):
	default:
		t.Errorf("there is no %q in %s", command, dir)
	}
	return dir
}

func module(t *testing.T) string {
	t.Helper()
	first, _, _ := strings.Cut(read(t, "go.mod"), "\n")
	return strings.TrimPrefix(first, "module ")
}

// runs checks that dir has a program with all flags in args.
func runs(t *testing.T, dir string, args []string) {
	t.Helper()
	source := readAll(t, dir+"/*.go")
	if !strings.Contains(source, "\nfunc main() {") {
		t.Errorf("there is no program %s", dir)
	}
	for _, arg := range args {
		if arg == "--" || arg == ">" {
			break
		}
		if name, ok := strings.CutPrefix(arg, "-"); ok && !regexp.MustCompile(`\.\w+(?:Var)?\((?:&[\w.]+, )?"`+name+`"`).MatchString(source) {
			t.Errorf("%s has no flag %s", dir, arg)
		}
	}
}

// tests checks that the packages in args exist, and have tests that match -run.
func tests(t *testing.T, dir string, args []string) {
	t.Helper()
	source, pattern := "", ""
	for i, arg := range args {
		p, all := strings.CutSuffix(arg, "/...")
		switch {
		case i > 0 && (args[i-1] == "-run" || args[i-1] == "-bench"): // the last pattern is used
			pattern = strings.Trim(arg, "'")
		case arg == "-run" || arg == "-bench" || arg == "-race" || arg == "-v":
		case strings.HasPrefix(arg, ".") && exists(path.Join(dir, p)):
			if s := readAll(t, path.Join(dir, p, "*_test.go")); s != "" || all {
				source += s
				continue
			}
			fallthrough
		default:
			t.Errorf("go test %s: unknown argument %s", strings.Join(args, " "), arg)
		}
	}
	for name := range strings.SplitSeq(pattern, "|") {
		if name != "" && !regexp.MustCompile(`(?m)^func \w*`+name).MatchString(source) {
			t.Errorf("go test %s: there is no test %s", strings.Join(args, " "), name)
		}
	}
}
