%%% Files of environment variables (.env): the type of the option `env_file', and what is in one.
%%%
%%% Called through hornbeam_option_types, and by hornbeam_python (read/1), when a worker starts. Calls hornbeam_option_file,
%%% of which it is a kind, and hornbeam_option_text.
%%%
%%% What a file may hold, line by line:
%%%
%%%     # a comment, or nothing
%%%     NAME=value # a comment after a space
%%%     export NAME = 'as it is, also over several lines'
%%%     NAME="with \n, \r, \t, \", \\ and \$"
%%%
%%% Variables in values (${NAME}) stay as they are. An error names the line and never quotes it: it may hold a secret.
-module(hornbeam_option_env_file).

-behaviour(hornbeam_option_types).

-export([check/1, anchor/2, describe/0, format/1, read/1, parse/1]).

%% Longer ones are no such files.
-define(MAX_SIZE, 1048576).

-spec check(term()) -> {ok, binary()} | hornbeam_option_types:problem().
check(Given) -> hornbeam_option_file:check(Given).

%% A mistake in the file is better found now than by a worker.
-spec anchor(binary(), binary()) -> {ok, binary()} | hornbeam_option_types:problem().
anchor(Path, Base) ->
    Absolute = filename:absname(Path, Base),
    case read(Absolute) of
        {ok, _} -> {ok, Absolute};
        {error, Text} -> {error, [Text, ": ", Absolute]}
    end.

-spec format(binary()) -> binary().
format(Path) -> hornbeam_option_file:format(Path).

-spec describe() -> iodata().
describe() -> hornbeam_option_file:describe().

%% @doc Its variables, in its order; an error is text to be read before the file's name.
-spec read(binary()) -> {ok, [{Name :: binary(), Value :: binary()}]} | {error, iodata()}.
read(Path) ->
    case filelib:is_regular(Path) andalso filelib:file_size(Path) =< ?MAX_SIZE andalso file:read_file(Path) of
        {ok, Content} ->
            case parse(Content) of
                {ok, Variables} -> {ok, Variables};
                {error, Line} -> {error, ["has no NAME=VALUE in line ", integer_to_list(Line), " of"]}
            end;
        {error, Reason} -> {error, ["cannot be read (", file:format_error(Reason), ")"]};
        false -> {error, "names a file that does not exist, or is longer than 1 MiB"}
    end.

-spec parse(binary()) -> {ok, [{Name :: binary(), Value :: binary()}]} | {error, Line :: pos_integer()}.
parse(<<16#ef, 16#bb, 16#bf, Content/binary>>) -> parse(Content);
parse(Content) ->
    case hornbeam_option_text:to_text(Content) of
        {ok, _} -> lines(binary:replace(Content, <<"\r\n">>, <<"\n">>, [global]), 1, []);
        error -> {error, 1}
    end.

lines(<<>>, _, Done) ->
    {ok, lists:reverse(Done)};
lines(Content, Number, Done) ->
    {Line, Rest} = line(Content),
    case string:trim(Line) of
        <<>> -> lines(Rest, Number + 1, Done);
        <<"#", _/binary>> -> lines(Rest, Number + 1, Done);
        _ -> variable(Content, Number, Done)
    end.

variable(Content, Number, Done) ->
    Begin = "^[ \\t]*(?:export[ \\t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \\t]*=[ \\t]*",
    case re:run(Content, Begin, [{capture, all, index}]) of
        {match, [{0, Length}, {Start, Size}]} ->
            Name = binary:part(Content, Start, Size),
            <<_:Length/binary, Rest/binary>> = Content,
            case value(Rest) of
                {ok, Value, Left} -> lines(Left, Number + newlines(Content) - newlines(Left), [{Name, Value} | Done]);
                error -> {error, Number}
            end;
        nomatch ->
            {error, Number}
    end.

value(<<$', Rest/binary>>) ->
    case binary:split(Rest, <<"'">>) of
        [Value, Left] -> after_quote(Value, Left);
        [_] -> error
    end;
value(<<$", Rest/binary>>) ->
    quoted(Rest, <<>>);
value(Content) ->
    {Line, Left} = line(Content),
    Value = case re:run(Line, "(?:^|[ \\t])#", [{capture, first, index}]) of
        {match, [{Comment, _}]} -> binary:part(Line, 0, Comment);
        nomatch -> Line
    end,
    {ok, string:trim(Value, both, " \t"), Left}.

quoted(<<$\\, C, Rest/binary>>, Value) ->
    Meant = case C of
        $n -> <<"\n">>;
        $r -> <<"\r">>;
        $t -> <<"\t">>;
        _ when C =:= $"; C =:= $\\; C =:= $$; C =:= $' -> <<C>>;
        _ -> <<$\\, C>>
    end,
    quoted(Rest, <<Value/binary, Meant/binary>>);
quoted(<<$", Left/binary>>, Value) -> after_quote(Value, Left);
quoted(<<C, Rest/binary>>, Value) -> quoted(Rest, <<Value/binary, C>>);
quoted(<<>>, _) -> error.

after_quote(Value, Content) ->
    {Line, Left} = line(Content),
    case re:run(Line, "^[ \\t]*(?:#.*)?$", [dollar_endonly]) of
        {match, _} -> {ok, Value, Left};
        nomatch -> error
    end.

line(Content) ->
    case binary:split(Content, <<"\n">>) of
        [Line, Rest] -> {Line, Rest};
        [Line] -> {Line, <<>>}
    end.

newlines(Content) -> length(binary:matches(Content, <<"\n">>)).
