// What Go's encoding/json makes of odd JSON, for the reader of crates/protocol to agree with. Every request of the contract becomes a Go
// type, and each gets the same kinds of bodies: full, in another case, null everywhere, repeated keys, wrong types.
//
//	cd e2e/tools/contract/go-json && go run . ../../../../crates/protocol/proto > ../../../../crates/protocol/testdata/go_json.jsonl
//
// A line is {"type", "input", "output"}; bytes of the input stand as the characters U+0000 to U+00FF, and the output is missing where Go refuses.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"sort"
	"strings"
)

type line struct {
	Type   string          `json:"type"`
	Input  string          `json:"input"`
	Output json.RawMessage `json:"output,omitempty"`
}

// Sample has one field of each kind; what is zero is left out to keep the file small.
type Sample struct {
	UserID   string             `json:"userID,omitempty"`
	Nickname *string            `json:"nickname,omitempty"`
	IsPinned bool               `json:"isPinned,omitempty"`
	Count    int32              `json:"count,omitempty"`
	Big      int64              `json:"big,omitempty"`
	Part     uint32             `json:"part,omitempty"`
	Size     uint64             `json:"size,omitempty"`
	Ratio    float64            `json:"ratio,omitempty"`
	Small    float32            `json:"small,omitempty"`
	Content  []byte             `json:"content,omitempty"`
	GroupIDs []string           `json:"groupIDs,omitempty"`
	Seqs     []int64            `json:"seqs,omitempty"`
	Inner    *Sample            `json:"inner,omitempty"`
	Items    []*Sample          `json:"items,omitempty"`
	Options  map[string]bool    `json:"options,omitempty"`
	Counts   map[int64]int32    `json:"counts,omitempty"`
	Named    map[string]*Sample `json:"named,omitempty"`
}

// Frame is what a client sends over its socket.
type Frame struct {
	ReqIdentifier int64  `json:"reqIdentifier"`
	Token         string `json:"token"`
	SendID        string `json:"sendID"`
	OperationID   string `json:"operationID"`
	MsgIncr       string `json:"msgIncr"`
	Data          []byte `json:"data"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . DIRECTORY-OF-PROTO-FILES")
	}
	messages := readProto(os.Args[1])
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, input := range sampleInputs {
		write(out, "sample", reflect.TypeFor[Sample](), input)
	}
	for _, input := range frameInputs {
		write(out, "frame", reflect.TypeFor[Frame](), input)
	}
	names := make([]string, 0, len(messages))
	for name := range messages {
		if strings.HasSuffix(name, "Req") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		kind := messages.structOf(name)
		for _, input := range bodies(kind) {
			write(out, name, kind, input)
		}
	}
}

func write(out *bufio.Writer, name string, kind reflect.Type, input string) {
	result := line{Type: name, Input: latin1(input)}
	value := reflect.New(kind)
	if err := json.Unmarshal([]byte(input), value.Interface()); err == nil {
		asOurs(value)
		output, err := json.Marshal(value.Interface())
		if err != nil {
			log.Fatal(err)
		}
		result.Output = output
	}
	text, err := json.Marshal(result)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(out, "%s\n", text)
}

// latin1 gives each byte the character of its number.
func latin1(text string) string {
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

// asOurs writes what the two languages hold in different ways the same way: empty lists are nil, and empty bytes are not.
func asOurs(value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			asOurs(value.Elem())
		}
	case reflect.Struct:
		for i := range value.NumField() {
			asOurs(value.Field(i))
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			asOurs(value.MapIndex(key))
		}
	case reflect.Slice:
		bytes := value.Type().Elem().Kind() == reflect.Uint8
		switch {
		case bytes && value.IsNil():
			value.SetBytes([]byte{})
		case !bytes && value.Len() == 0:
			value.SetZero()
		default:
			for i := range value.Len() {
				asOurs(value.Index(i))
			}
		}
	}
}
