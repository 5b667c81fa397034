module go-json

go 1.26
