package main

import (
	"fmt"
	"reflect"
	"strings"
)

// bodies are the inputs that every request gets.
func bodies(kind reflect.Type) []string {
	full := object(kind, exact, 0)
	all := []string{full, object(kind, strings.ToUpper, 1), object(kind, integrators, 2), "{}", "null", "[]"}
	if kind.NumField() == 0 {
		return all
	}
	all = append(all,
		nulls(kind),
		// What comes twice: the whole, half of it, and null.
		full[:len(full)-1]+","+object(kind, strings.ToLower, 3)[1:],
		full[:len(full)-1]+","+nulls(kind)[1:],
	)
	for i := range min(kind.NumField(), 4) {
		all = append(all, fmt.Sprintf(`{"%s":%s}`, exact(key(kind, i)), wrong(kind.Field(i).Type)))
	}
	return all
}

func exact(key string) string { return key }

// integrators write keys as the rules of their language say.
func integrators(key string) string {
	key = strings.ReplaceAll(strings.ReplaceAll(key, "ID", "Id"), "URL", "Url")
	return strings.ToLower(key[:1]) + key[1:]
}

func key(kind reflect.Type, i int) string {
	name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
	return name
}

// object has every field; in the third round only every other.
func object(kind reflect.Type, rename func(string) string, round int) string {
	var parts []string
	for i := range kind.NumField() {
		if round == 3 && i%2 == 1 {
			continue
		}
		parts = append(parts, fmt.Sprintf(`"%s":%s`, rename(key(kind, i)), value(kind.Field(i).Type, rename, round)))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func nulls(kind reflect.Type) string {
	var parts []string
	for i := range kind.NumField() {
		parts = append(parts, fmt.Sprintf(`"%s":null`, key(kind, i)))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func value(kind reflect.Type, rename func(string) string, round int) string {
	pick := func(values ...string) string { return values[round%len(values)] }
	switch kind.Kind() {
	case reflect.String:
		return pick(`"a"`, `"\ud83d"`, "\"\xe2\x82\"", `"\ud83d\ude00 \u00e9"`)
	case reflect.Bool:
		return pick("true", "true", "false")
	case reflect.Int32, reflect.Int64:
		return pick("7", "-0", "-12", "2147483647")
	case reflect.Uint32, reflect.Uint64:
		return pick("7", "0", "4294967295", "1")
	case reflect.Float32, reflect.Float64:
		return pick("1", "1e2", "-0.5", "25E-1")
	case reflect.Pointer:
		return value(kind.Elem(), rename, round)
	case reflect.Struct:
		return object(kind, rename, round)
	case reflect.Map:
		return fmt.Sprintf(`{"k%d":%s}`, round%3, value(kind.Elem(), rename, round))
	case reflect.Slice:
		if kind.Elem().Kind() == reflect.Uint8 {
			return pick(`"e30="`, `[1,255]`, `""`, "\"e3\\n0=\"")
		}
		one := value(kind.Elem(), rename, round)
		return pick("["+one+","+one+"]", "["+one+"]", "[]", "["+one+"]")
	}
	panic(kind)
}

// wrong is of another type.
func wrong(kind reflect.Type) string {
	switch kind.Kind() {
	case reflect.Pointer:
		return wrong(kind.Elem())
	case reflect.String:
		return "5"
	case reflect.Bool:
		return `"true"`
	case reflect.Slice:
		if kind.Elem().Kind() == reflect.Uint8 {
			return "[256]"
		}
		return "{}"
	case reflect.Map, reflect.Struct:
		return "[]"
	}
	return `"5"`
}

var frameInputs = []string{
	`{"reqIdentifier":1001,"token":null,"sendID":"u","operationID":null,"msgIncr":"u_1","data":"e30="}`,
	`{"ReqIdentifier":1003,"SendId":"u","OperationId":"o","MsgIncr":"1","Data":[10,1,97]}`,
	`{"reqIdentifier":1003,"data":null}`, `{"reqIdentifier":"1003"}`, `{"data":[1,null,3]}`, `{"data":"e30"}`, `[1003,"","u"]`,
	`{"data":"AA==","data":null}`, `{"reqIdentifier":1,"reqIdentifier":null}`, `{"sendID":"a","SENDID":"b"}`,
}

var sampleInputs = append([]string{
	`{}`, `null`, ` {} `, `[]`, `"x"`, `1`, `true`, ``, ` `, `{`, `{}{}`, `{} x`, "\ufeff{}", `nul`, `{"userID"}`, `{"userID":}`, `{,}`,
	`{"userID":"a",}`, `{userID:"a"}`, `{'userID':'a'}`, `{"userID":"a" "count":1}`, `{"userID":"a"}//`, "{\"userID\":\"a\x00\"}",
	"{\"userID\":\"a\nb\"}", "{\"userID\":\"a\x7f\"}", "\t{\n\"userID\"\r: \"a\" }\n", "\f{}", "\v{}", "\u00a0{}",
	// Keys.
	`{"USERID":"a"}`, `{"userid":"a"}`, `{"userId":"a"}`, `{"UserID":"a"}`, `{"user_id":"a"}`, `{"userID ":"a"}`, `{"\u0075serID":"a"}`,
	`{"u\u017FerID":"a"}`, `{"uſerID":"a"}`, `{"nicKname":"a"}`, "{\"ni\xffckname\":\"a\"}", `{"sıze":1}`, `{"ſize":3}`, `{"":1}`,
	`{"userID":"a","USERID":"b"}`, `{"USERID":"b","userID":"a"}`, `{"USERID":"b","userID":null}`, `{"Userid":"a","uSerid":"b"}`,
	`{"USERID":5,"userID":"a"}`, `{"userID":"a","userID":5}`, `{"unknown":{"userID":5},"UNKNOWN":[[[{}]]]}`, `{"unknown":{"a":[1,{"b":}]}}`,
	// Null.
	`{"userID":null,"nickname":null,"isPinned":null,"count":null,"big":null,"part":null,"size":null,"ratio":null,"small":null}`,
	`{"content":null,"groupIDs":null,"seqs":null,"inner":null,"items":null,"options":null,"counts":null,"named":null}`,
	`{"groupIDs":["a",null,"b"],"seqs":[null,1],"options":{"a":null}}`,
	// Twice.
	`{"count":1,"count":2}`, `{"count":1,"count":null}`, `{"nickname":"a","nickname":null}`, `{"nickname":null,"nickname":"a"}`,
	`{"inner":{"count":1},"inner":{"big":2}}`, `{"inner":{"count":1},"inner":null}`, `{"inner":{"count":1},"inner":null,"inner":{"big":2}}`,
	`{"inner":{"count":1,"inner":{"big":1}},"INNER":{"inner":{"count":3}}}`, `{"groupIDs":["a","b"],"groupIDs":["c"]}`,
	`{"groupIDs":["a","b"],"groupIDs":[]}`, `{"groupIDs":["a"],"groupIDs":null}`, `{"groupIDs":["a"],"groupIDs":[null,"b"]}`,
	`{"items":[{"count":1}],"items":[{"big":2}]}`, `{"items":[{"count":1},{"count":2}],"items":[{"big":2}]}`,
	`{"items":[{"count":1}],"items":[],"items":[{"big":2}]}`, `{"items":[{"count":1}],"items":[{"big":2},{"big":3}]}`,
	`{"options":{"a":true},"options":{"b":true}}`, `{"options":{"a":true,"a":false}}`, `{"options":{"a":true},"options":null}`,
	`{"options":{"A":true,"a":false}}`, `{"named":{"a":{"count":1}},"named":{"a":{"big":2}}}`, `{"named":{"a":{"count":1},"a":{"big":2}}}`,
	`{"content":"AA==","content":null}`, `{"content":"AA==","content":"AQ=="}`, `{"content":5,"content":"AQ=="}`,
	`{"options":{},"options":[]}`, `{"seqs":[1],"seqs":{}}`, `{"inner":[],"inner":{}}`, `{"count":99999999999,"count":1}`,
	// Objects and arrays in each other's place.
	`{"inner":[]}`, `{"inner":["a"]}`, `{"items":{}}`, `{"items":[[]]}`, `{"options":[]}`, `{"groupIDs":"a"}`, `{"groupIDs":[["a"]]}`,
	`{"named":{"a":[]}}`, `{"inner":"a"}`, `{"inner":5}`, `{"inner":true}`, `{"userID":{}}`, `{"userID":[]}`, `{"count":{}}`, `{"items":[5]}`,
	`{"items":"null"}`, `{"options":{"a":1}}`, `{"options":{"a":"true"}}`,
	// Base64.
	`{"content":""}`, `{"content":"AA=="}`, `{"content":"AB=="}`, `{"content":"AA"}`, `{"content":"AA="}`, `{"content":"A"}`, `{"content":"A-_="}`,
	`{"content":"A+/="}`, `{"content":"AA\r\n=="}`, `{"content":"\nAA=\n=\n"}`, `{"content":"AA== "}`, `{"content":"AA==AA=="}`, `{"content":" AA=="}`,
	`{"content":"AA===="}`, `{"content":"===="}`, `{"content":"\u0041\u0041=="}`, `{"content":[]}`, `{"content":[0,255]}`, `{"content":[256]}`,
	`{"content":[-1]}`, `{"content":[1.0]}`, `{"content":["1"]}`, `{"content":[null]}`, `{"content":{}}`, `{"content":true}`, `{"content":"é"}`,
	// Nesting.
	`{"unknown":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
}, append(textInputs(), numberInputs()...)...)

func textInputs() []string {
	texts := []string{
		`\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83d\ud83d\ude00`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ude00\ud83d`, `\uD83D\uDE00`, `\u12`,
		`\u12g4`, `\u+123`, `\x41`, `\'`, `\`, `\"\\\/\b\f\n\r\t`, `\u0000`, `\u2028`, `\uffff`, `\ufffd`, `\ud800\udc00`, `\udbff\udfff`,
		"\xff", "\xe2\x82", "\xe2\x82\xac", "\xf0\x9f\x98", "a\xc3", "\xc3\xa9", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\xe2\x28\xa1",
		"12345678\xff90", "1234567\\u00e9", "ééééééé\xe9", "\u007f\u0080", "tab\tin it", "\x1f", "\x80\x80\x80",
	}
	var all []string
	for _, text := range texts {
		all = append(all, `{"userID":"`+text+`"}`, `{"options":{"`+text+`":true}}`)
	}
	return all
}

func numberInputs() []string {
	numbers := []string{
		"0", "-0", "1", "-1", "01", "-01", "+1", "1.", ".5", "1.0", "1e0", "1E+2", "1e-2", "1e", "1e+", "-", "0x10", "1_000", "NaN", "Infinity", "127",
		"2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "3.4e38", "3.5e38", "1.7e308", "1.8e308",
		"1e400", "-1e400", "1e-400", "0.1", "123456789012345678901234567890", `"1"`, `""`, "true", "[1]", "{}", "0.0", "-0.0", "00", "1 2", "1e1000000000",
	}
	var all []string
	for _, key := range []string{"count", "big", "part", "size", "ratio", "small", "isPinned", "userID", "unknown"} {
		for _, number := range numbers {
			all = append(all, fmt.Sprintf(`{"%s":%s}`, key, number))
		}
	}
	for _, number := range []string{"1", "-1", "01", "+1", " 1", "1.0", "", "a", "9223372036854775808", "-0", "1_0"} {
		all = append(all, fmt.Sprintf(`{"counts":{"%s":1}}`, number))
	}
	return all
}
