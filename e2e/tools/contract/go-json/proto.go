package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

type field struct {
	name, kind       string
	repeated, option bool
	// Of a map.
	key, value string
}

// protos are the fields of each message by its full name.
type protos map[string][]field

var (
	packageLine = regexp.MustCompile(`^package (.+);`)
	messageLine = regexp.MustCompile(`^\s*message (\w+) \{(\})?`)
	enumLine    = regexp.MustCompile(`^\s*enum (\w+) \{`)
	fieldLine   = regexp.MustCompile(`^\s*(repeated |optional )?([\w.]+) (\w+) = \d+`)
	mapLine     = regexp.MustCompile(`^\s*map<(\w+), ([\w.]+)> (\w+) = \d+`)
)

// readProto reads the proto files of a directory; they are written with one thing on a line.
func readProto(directory string) protos {
	files, err := filepath.Glob(filepath.Join(directory, "*.proto"))
	if err != nil || len(files) == 0 {
		log.Fatalf("no proto files in %s (%v)", directory, err)
	}
	all := protos{}
	for _, file := range files {
		if filepath.Base(file) == "internal.proto" {
			continue // never JSON
		}
		text, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		all.read(string(text))
	}
	return all
}

func (all protos) read(text string) {
	var scope []string // the package and the messages that are open
	for _, line := range strings.Split(text, "\n") {
		full := func(name string) string { return strings.Join(append(scope[:len(scope):len(scope)], name), ".") }
		if found := packageLine.FindStringSubmatch(line); found != nil {
			scope = []string{found[1]}
		} else if found := messageLine.FindStringSubmatch(line); found != nil {
			all[full(found[1])] = []field{}
			if found[2] == "" {
				scope = append(scope, found[1])
			}
		} else if found := enumLine.FindStringSubmatch(line); found != nil {
			scope = append(scope, found[1])
		} else if strings.TrimSpace(line) == "}" {
			scope = scope[:len(scope)-1]
		} else if found := mapLine.FindStringSubmatch(line); found != nil {
			name := strings.Join(scope, ".")
			all[name] = append(all[name], field{name: found[3], key: found[1], value: found[2]})
		} else if found := fieldLine.FindStringSubmatch(line); found != nil && len(scope) > 1 {
			name := strings.Join(scope, ".")
			one := field{name: found[3], kind: found[2], repeated: found[1] == "repeated ", option: found[1] == "optional "}
			all[name] = append(all[name], one)
		}
	}
}

var scalars = map[string]reflect.Type{
	"string": reflect.TypeFor[string](), "bool": reflect.TypeFor[bool](), "bytes": reflect.TypeFor[[]byte](),
	"int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](), "uint32": reflect.TypeFor[uint32](),
	"uint64": reflect.TypeFor[uint64](), "float": reflect.TypeFor[float32](), "double": reflect.TypeFor[float64](),
	".openim.sdkws.PullOrder": reflect.TypeFor[int32](),
}

var wrappers = map[string]string{
	"StringValue": "string", "BoolValue": "bool", "Int32Value": "int32", "Int64Value": "int64", "UInt32Value": "uint32",
	"UInt64Value": "uint64", "FloatValue": "float", "DoubleValue": "double",
}

// structOf is the Go type of a message, as protoc-gen-go makes it for JSON.
func (all protos) structOf(name string) reflect.Type {
	var fields []reflect.StructField
	for i, one := range all[name] {
		kind := all.typeOf(name, one)
		tag := fmt.Sprintf(`json:"%s"`, one.name)
		if kind.Kind() == reflect.Map {
			tag = fmt.Sprintf(`json:"%s,omitempty"`, one.name)
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: kind, Tag: reflect.StructTag(tag)})
	}
	return reflect.StructOf(fields)
}

func (all protos) typeOf(parent string, one field) reflect.Type {
	if one.key != "" {
		return reflect.MapOf(scalars[one.key], all.single(parent, one.value))
	}
	kind := all.single(parent, one.kind)
	if one.repeated {
		return reflect.SliceOf(kind)
	}
	if one.option {
		return reflect.PointerTo(kind)
	}
	return kind
}

func (all protos) single(parent, kind string) reflect.Type {
	if scalar, ok := scalars[kind]; ok {
		return scalar
	}
	if wrapper, ok := strings.CutPrefix(kind, ".openim.protobuf."); ok {
		return reflect.PointerTo(scalars[wrappers[wrapper]])
	}
	name, ok := strings.CutPrefix(kind, ".")
	if !ok {
		name = parent[:strings.LastIndex(parent, ".")+1] + kind
	}
	if _, known := all[name]; !known {
		log.Fatalf("%s of %s is not known", kind, parent)
	}
	return reflect.PointerTo(all.structOf(name))
}
